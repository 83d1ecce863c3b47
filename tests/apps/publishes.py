# Publishes twenty times a second.
from leaf import Device

device = Device()


@device.telemetry(every=0.05)
def counter():
    return {"n": 1}


device.run()
