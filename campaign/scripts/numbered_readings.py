# Stores numbered readings, says which of them it promised, and prints the cloud's messages.
import binascii
import os

from leaf import REFUSE_NEW, Device

device = Device()
boot = binascii.hexlify(os.urandom(4)).decode()
number = 0


def reading():
    global number
    number += 1
    return {"boot": boot, "n": number, "check": (number * 7919) % 65521}


@device.telemetry(every=0.5, full=REFUSE_NEW)
def tick():
    return reading()


@device.telemetry(every=1, full=REFUSE_NEW)
def batch():
    first = number + 1
    for _ in range(4):
        if not device.record("tick", reading()):
            return {"full": True}
    if device.record("tick", reading(), durable=True):
        print("PROMISED", boot, first, number)
    return {"boot": boot}


@device.subscribe("fleet/news")
def news(topic, payload, duplicate):
    print("GOT", payload.decode())


device.run()
