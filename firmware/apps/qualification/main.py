# What leaf is qualified with (rootlet advisor): it has something to say at once, and then less often than its keep-alive
# of 30 seconds, so that PINGREQ is seen.
from leaf import Device
from leaf.services.jobs import Jobs
from leaf.services.shadow import Shadow

device = Device()
shadow = Shadow(device)
jobs = Jobs(device)


@device.telemetry(every=75)  # seconds
def reading():
    return {"temperature_c": 21}


@device.command("echo")
def echo(arguments):
    return arguments


@shadow.setting("brightness", 50)  # percent
def brightness(value):
    if not 0 <= value <= 100:
        raise ValueError("0 to 100")


@jobs.operation("advisor")
def nothing_to_do(job):
    return {"document": len(job.document)}


device.run()
