# The ladder up to a connection: Wi-Fi, clock, DNS, TCP, TLS, MQTT. In RAM while the device climbs; each rung only on its turn.
import gc

from . import clock, heap
from .faults import Fault
from .log import log
from .modules import run, use


async def up(device):
    """Return whether the server has our session, once it has accepted us. Raises Fault, which names the rung."""
    settings = device.settings
    if settings["wifi"]:
        await run("wifi", "connect", settings["wifi"], settings["wifi_timeout"], settings["wifi_power_saving"])
        device.guard.alive("connection")
    if clock.due():
        await run("sync", "ensure", settings["ntp"])
        device.guard.alive("connection")
    timeout = settings["connect_timeout"]
    stream = await run("tls", "connect", settings["endpoint"], settings["port"], device.tls, timeout)
    device.guard.alive("connection")
    try:
        return await _say_hello(device, stream, timeout)
    finally:
        device.tls.verify_callback = None  # it would keep tls.py in RAM


async def _say_hello(device, stream, timeout):
    endpoint, session = device.settings["endpoint"], device.session
    subscribed, device.subscribed = device.subscribed, None
    try:
        present = await session.connect(stream, timeout)
        device.subscribed = subscribed
    except Fault as fault:
        if fault.word != "connect-refused":  # any other verdict may be a lack of memory that Mbed TLS mistook
            short = heap.shortage("%s (%s)" % (fault.word, fault.cause), lowest=heap.SPARE)
            if short:
                raise short
        if fault.word == "tcp" and not stream.chain:
            raise Fault("tls-no-tls", "%s did not answer the TLS handshake" % endpoint)
        if fault.word == "connection-lost" and not fault.link:
            raise use("evidence", "refused", device.history, endpoint, session.client_id, device.certificate)
        raise
    device.history["connected"] = True
    stream.chain = None
    gc.collect()
    log("heap", "%d bytes used, %d free; %s" % (gc.mem_alloc(), gc.mem_free(), heap.text()))
    log("mqtt", "connected as %s, session %s" % (session.client_id, "present" if present else "new"))
    return present
