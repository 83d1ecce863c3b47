# Runs one life of an outbox on the virtual board's flash: power fails within operation number `cut`, then the board boots
# again and delivers. Answers what the application was promised, and what arrived.
import builtins
import random

import esp32
import leaf.backlog  # here, or each life would compile it anew, time and again
import leaf.spill
import vfs
from leaf.outbox import REFUSE_NEW, Outbox

FLASH = given["flash"]


# What a power cut left open is gone with the RAM of a chip. Here it is kept for good: the garbage collector would close it,
# into the flash of the next boot, or into a file system that it has collected before (which is a crash).
dead = []
real_open = builtins.open


def remembering(*arguments):
    file = real_open(*arguments)
    dead.append(file)
    return file


builtins.open = remembering


def mount():
    flash = vfs.VfsLfs2(esp32.vfs_partition())
    dead.append(flash)
    vfs.mount(flash, "/state")


def unmount():
    try:
        vfs.umount("/state")
    except (OSError, esp32.PowerCut):
        pass


def life(seed, promised, delivered):
    # Readings come in, are promised, some are delivered: an outage with visits of the link.
    random.seed(seed)
    box = Outbox("/state/outbox", 1024, 131072)
    box.rules = {"meter": REFUSE_NEW}
    flying = []
    for number in range(given["records"]):
        stream = "meter" if random.getrandbits(1) else "climate"
        payload = b"%d:" % number + bytes([number & 0xFF]) * random.randint(4, 60)
        if box.put(stream, payload):
            if random.getrandbits(3) == 0 and box.flush():
                promised.extend(range(promised[-1] + 1 if promised else 0, number + 1))
        if random.getrandbits(2) == 0:
            box.rest()
        elif random.getrandbits(1):
            box.drain()
        while random.getrandbits(2) == 0:
            record = box.take()
            if not record:
                break
            flying.append(record)
        while flying and random.getrandbits(1):
            record = flying.pop(random.getrandbits(8) % len(flying))
            delivered.append(record.payload)
            box.done(record)
    return box


def drain(box, delivered):
    box.drain()
    while True:
        record = box.take()
        if not record:
            return
        delivered.append(record.payload)
        box.done(record)


def sound(payload):
    head, _, tail = payload.partition(b":")
    number = int(head)
    return 4 <= len(tail) <= 60 and tail == bytes([number & 0xFF]) * len(tail)


def run(cut):
    pristine = real_open(given["pristine"], "rb")
    with real_open(FLASH, "wb") as out:
        while True:
            piece = pristine.read(65536)
            if not piece:
                break
            out.write(piece)
    pristine.close()
    promised = []
    delivered = []
    esp32.power_on(FLASH, cut)
    cut_happened = False
    dropped = {}
    mount()
    try:
        dropped = life(given["seed"], promised, delivered).dropped
    except esp32.PowerCut:
        cut_happened = True
    operations = esp32.operations_left()
    unmount()
    esp32.power_on(FLASH)
    mount()
    box = Outbox("/state/outbox", 1024, 131072)
    drain(box, delivered)
    left = box.in_flash()
    unmount()
    numbers = [int(payload.split(b":")[0]) for payload in delivered]
    return {
        "cut": cut_happened,
        "operations_left": operations,
        "lost": sorted(set(promised) - set(numbers)),
        "promised": len(promised),
        "dropped": dropped,
        "corrupt": [repr(payload) for payload in delivered if not sound(payload)],
        "left": left,
    }


answers = []
for cut in given["cuts"]:
    answers.append(run(cut))
answer(answers)
