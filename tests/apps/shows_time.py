# Prints the time.
from leaf import Device, clock

device = Device()


@device.telemetry(every=1)
def climate():
    print("CLOCK", clock.now(), clock.dated())
    return {}


device.run()
