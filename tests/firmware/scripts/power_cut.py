# Runs one life of an outbox on the virtual board's flash: power fails within operation number `cut`, then the board boots
# again and delivers. Answers what the application was promised, and what arrived.
import random

import esp32
import vfs
from leaf.outbox import REFUSE_NEW, Outbox

FLASH = given["flash"]


class Flash:
    # The flash as one power-on has it. A file that a power cut left open is closed by the garbage collector at some later
    # time: on a chip it is gone with the RAM, and here it must not write into the flash of the next.
    def __init__(self):
        self.partition = esp32.vfs_partition()

    def readblocks(self, *arguments):
        return self._powered().readblocks(*arguments)

    def writeblocks(self, *arguments):
        return self._powered().writeblocks(*arguments)

    def ioctl(self, *arguments):
        return self._powered().ioctl(*arguments)

    def _powered(self):
        if self.partition is None:
            raise OSError(5)  # EIO
        return self.partition


def mount():
    flash = Flash()
    vfs.mount(vfs.VfsLfs2(flash), "/state")
    return flash


def unmount(flash):
    try:
        vfs.umount("/state")
    except (OSError, esp32.PowerCut):
        pass
    flash.partition = None


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
    pristine = open(given["pristine"], "rb")
    with open(FLASH, "wb") as out:
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
    flash = mount()
    try:
        dropped = life(given["seed"], promised, delivered).dropped
    except esp32.PowerCut:
        cut_happened = True
    operations = esp32.operations_left()
    unmount(flash)
    esp32.power_on(FLASH)
    flash = mount()
    box = Outbox("/state/outbox", 1024, 131072)
    drain(box, delivered)
    left = box.in_flash()
    unmount(flash)
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
