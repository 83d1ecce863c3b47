# The ladder up to a connection: Wi-Fi, clock, DNS, TCP, TLS, MQTT. In RAM while the device climbs, each rung on its turn.
import gc

from . import clock
from .faults import Fault
from .log import log
from .modules import hold, release, run, use


async def up(device):
    """Return whether the server has our session, once it has accepted us. Raises Fault, which names the rung."""
    settings = device.settings
    if settings["wifi"]:
        await run("wifi", "connect", settings["wifi"], settings["wifi_timeout"], settings["wifi_power_saving"])
        device.guard.alive("connection")
    if clock.due() or not clock.dated():
        await run("sync", "ensure", settings["ntp"])
        device.guard.alive("connection")
    timeout = settings["connect_timeout"]
    names = hold("x509").names
    chain = []

    def remember(der, depth):
        # mbedTLS shows every certificate of the chain that it built, from the root's side to the server's own.
        chain.append(names(der))
        return 0

    device.tls.verify_callback = remember
    try:
        sock = await run("tcp", "connect", settings["endpoint"], settings["port"], timeout)
        stream = use("tls", "wrap", sock, settings["endpoint"], device.tls)
        stream.chain = chain
        device.guard.alive("connection")
        return await _say_hello(device, stream, timeout)
    finally:
        device.tls.verify_callback = None
        release("x509")


async def _say_hello(device, stream, timeout):
    session = device.session
    subscribed, device.subscribed = device.subscribed, None
    try:
        present = await session.connect(stream, timeout)
        device.subscribed = subscribed
    except Fault as fault:
        raise use("ending", "of_hello", device, fault, stream)
    device.history["connected"] = True
    stream.chain = ()
    gc.collect()
    log("heap", "%d bytes used, %d free; %s" % (gc.mem_alloc(), gc.mem_free(), use("heap", "text")))
    log("mqtt", "connected as %s, session %s" % (session.client_id, "present" if present else "new"))
    return present
