# What leaf is qualified with (rootlet advisor): it has something to say at once, and then less often than its keep-alive
# of 30 seconds, so that PINGREQ is seen.
from leaf import Device

device = Device()


@device.telemetry(every=75)  # seconds
def reading():
    return {"temperature_c": 21}


@device.command("echo")
def echo(arguments):
    return arguments


device.run()
