# The ladder up to the handshake (hello.py): Wi-Fi, clock, DNS, TCP. In RAM while the device climbs, each rung on its turn.
import gc
import sys

from . import clock
from .modules import run, use

# Bytes of GC heap in use, of the 56,736 with which a plain ESP32's begins. To look at the server's certificates takes 3 KB
# more, half of it in one piece. Where that might make the heap grow, TLS would lack it: so they are looked at only once a
# handshake has failed, to say why. Verified they always are. A board with PSRAM, and the Unix port, have no such bound.
_LITTLE = const(46000)
_PLENTY = const(250000)  # bytes of GC heap in all, with what it may grow by


async def up(device):
    """Return a stream whose first write does the handshake. Raises Fault, which names the rung."""
    settings = device.settings
    if settings["wifi"]:
        await run("wifi", "connect", settings["wifi"], settings["wifi_timeout"], settings["wifi_power_saving"])
        device.guard.alive("connection")
    if clock.due() or not clock.dated():
        await run("sync", "ensure", settings["ntp"])
        device.guard.alive("connection")
    chain = None
    if device.look or _room():
        chain = []
        device.tls.verify_callback = use("x509", "recorder", chain)
    sock = await run("tcp", "connect", settings["endpoint"], settings["port"], settings["connect_timeout"])
    try:
        stream = use("tls", "wrap", sock, settings["endpoint"], device.tls)
    except BaseException:  # a lack of memory for the module, too
        sock.close()
        raise
    stream.chain = chain
    device.session._stream = stream  # which closes it, whatever comes next
    device.guard.alive("connection")
    return stream


def _room():
    gc.collect()
    used = gc.mem_alloc()
    return used < _LITTLE or used + gc.mem_free() > _PLENTY or sys.maxsize > 0x7FFFFFFF
