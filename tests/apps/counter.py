# Counts, echoes, fails in a handler, and stops when asked.
from leaf import Device

EVERY = 1  # seconds; the tests put in their own

device = Device()
count = 0


@device.telemetry(every=EVERY)
def counter():
    global count
    count += 1
    return {"n": count}


@device.command("echo")
def echo(arguments):
    return arguments


@device.subscribe("news/all")
async def news(topic, payload, duplicate):
    print("NEWS", topic, payload, duplicate)
    raise ValueError("a handler's own mistake")


@device.command("stop")
def stop(arguments):
    device.stop()


device.run()
