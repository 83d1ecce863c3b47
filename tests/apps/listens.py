# Subscribes, and prints what it hears.
from leaf import Device

device = Device()


@device.subscribe("news/all")
def news(topic, payload, duplicate):
    print("GOT", len(payload), duplicate)


device.run()
