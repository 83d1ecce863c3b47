# Power-on of the 32-bit board: the stand-ins go where a chip has its own modules, then its /main.py runs. What the heap
# holds is told on the way, in lines that begin with "@", which the host reads.
import gc
import json
import sys

import micropython

given = json.loads(open("/parts/given.json").read())

import wire  # noqa: E402

for name in ("asyncio", "socket", "select", "tls", "network", "esp32", "machine"):
    sys.modules.pop(name, None)
    sys.modules[name] = __import__(name)
sys.modules["os"] = __import__("chip_os")
import asyncio  # noqa: E402

for name in ("socket", "struct", "binascii"):
    sys.modules["u" + name] = __import__(name)  # as older umqtt.simple calls them

import tls  # noqa: E402
import umqtt.simple  # noqa: E402, F401

for number in range(given["chain"]):
    der = bytearray(1536)  # bytes of the largest certificate that AWS IoT shows, about
    open("/parts/chain-%d.der" % number, "rb").readinto(der)
    tls.chain.append(der)


def report(event):
    # What was used with its garbage, what is alive; then, printed by C, what its names take.
    used = gc.mem_alloc()
    gc.collect()
    print("@", event.replace(" ", "-"), used, gc.mem_alloc())
    micropython.qstr_info()


if not given.get("quiet"):
    wire.events.append(report)
    asyncio.on_run = lambda: report("application")
wire.script.extend(given.get("script", ()))


class _Gc:
    # The module `gc`, as the device sees it: without what the stand-ins hold.
    def __init__(self, real, chip):
        real.collect()
        self._real = real
        self._stands = real.mem_alloc() - chip

    def mem_alloc(self):
        return self._real.mem_alloc() - self._stands

    def __getattr__(self, name):
        return getattr(self._real, name)


sys.modules["gc"] = _Gc(gc, given["boot"])
sys.path[:] = ["", "/lib"]
source = open("/main.py").read()
report("boot")
exec(compile(source, "main.py", "exec"), {"__name__": "__main__"})
