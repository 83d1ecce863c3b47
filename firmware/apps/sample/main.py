# A sample application: what the demo's device runs. Replace the reading by a sensor's.
import time

from leaf import Device

device = Device()


@device.telemetry(every=5)  # seconds
def climate():
    # No sensor on the virtual board: a slow triangle around 21 degrees, so that there is something to see.
    phase = time.time() % 120
    return {"temperature_c": 20 + abs(phase - 60) / 30}


@device.command("echo")
def echo(arguments):
    return arguments


device.run()
