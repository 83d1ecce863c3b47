# Two settings in a shadow, and a stream.
from leaf import Device
from leaf.services.shadow import Shadow

NAME = None  # of the shadow; the tests put in their own

device = Device()
shadow = Shadow(device, NAME)
shadow.report({"firmware": "2.0"})


@shadow.setting("target_c", 20)
def target(value):
    print("target is", value)
    if value > 30:
        raise ValueError("30 at most")
    return round(value)


@shadow.setting("plan", {"day": 21, "night": 17})
async def plan(value):
    pass


device.run()
