# Lives for months: stores numbered readings and says which of them it promised, prints the cloud's messages, and does to
# itself what applications do: it hangs, blocks, sleeps, and sets the clock.
import asyncio
import binascii
import json
import os
import time

import machine
from leaf import REFUSE_NEW, Device
from leaf.modules import use

device = Device()
boot = binascii.hexlify(os.urandom(4)).decode()
number = 0
with open("/life.json") as file:
    life = json.load(file)  # "every": seconds between two readings


def reading():
    global number
    number += 1
    return {"boot": boot, "n": number, "check": (number * 7919) % 65521}


@device.telemetry(every=life["every"], full=REFUSE_NEW)
def meter():
    durable = number % 4 == 0
    made = reading()
    taken = device.record("meter", made, durable=durable)
    print("REFUSED" if not taken else "PROMISED" if durable else "TOOK", boot, made["n"])
    return {"boot": boot, "beat": number}


@device.telemetry(every=7 * 86400)
def weekly():
    print("WEEKLY", boot)
    return {"boot": boot}


@device.subscribe("fleet/news")
def news(topic, payload, duplicate):
    print("GOT", payload.decode())


@device.subscribe("fleet/slow")
async def slow(topic, payload, duplicate):
    await asyncio.sleep(100)
    print("GOT", payload.decode())


@device.subscribe("fleet/+/tips")
def tips(topic, payload, duplicate):
    print("GOT", payload.decode())


@device.command("hang")
async def hang(arguments):
    await asyncio.Event().wait()


@device.command("block")
def block(arguments):
    while True:
        time.sleep(1)


@device.command("odd")
def odd(arguments):
    for value in (float("nan"), float("inf"), b"\xff"):
        try:
            device.record("odd", {"boot": boot, "value": value})
        except (TypeError, ValueError) as error:
            print("ODD", error)


@device.command("clock")
def clock(arguments):
    machine.RTC().datetime((2000, 1, 1, 5, 0, 0, 0, 0))


@device.command("override")
def override(arguments):
    use("config", "override", arguments)


@device.command("doze")
def doze(arguments):
    with open("/doze.json", "w") as file:
        json.dump(arguments, file)
    device.stop()


def dozing():
    # [times, seconds awake, seconds asleep]
    try:
        with open("/doze.json") as file:
            return json.load(file)
    except (OSError, ValueError):
        return [0, 0, 0]


times, awake, asleep = dozing()
if times:

    @device.telemetry(every=awake + 3600)
    async def nap():
        await asyncio.sleep(awake)
        device.stop()
        return {"boot": boot}


device.run()
times, awake, asleep = dozing()
if times:
    with open("/doze.json", "w") as file:
        json.dump([times - 1, awake, asleep], file)
    print("ASLEEP", asleep)
    machine.deepsleep(asleep * 1000)
