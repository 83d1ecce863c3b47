# Blocks the event loop, so that the watchdog bites.
import machine
from leaf import Device

device = Device()
machine.WDT(timeout=1000)


@device.telemetry(every=60)
def climate():
    if machine.reset_cause() == machine.WDT_RESET:
        return {"after": "watchdog"}
    while True:
        pass


device.run()
