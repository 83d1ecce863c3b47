# The ladder up to the handshake (hello.py): Wi-Fi, clock, DNS, TCP. In RAM while the device climbs, each rung on its turn.
from . import clock
from .modules import run, use


async def up(device):
    """Return a stream whose first write does the handshake. Raises Fault, which names the rung."""
    settings = device.settings
    if settings["wifi"]:
        await run("wifi", "connect", settings["wifi"], settings["wifi_timeout"], settings["wifi_power_saving"])
        device.guard.alive("connection")
    if clock.due() or not clock.dated():
        await run("sync", "ensure", settings["ntp"])
        device.guard.alive("connection")
    chain = []
    device.tls.verify_callback = use("x509", "recorder", chain)
    sock = await run("tcp", "connect", settings["endpoint"], settings["port"], settings["connect_timeout"])
    stream = use("tls", "wrap", sock, settings["endpoint"], device.tls)
    stream.chain = chain
    device.guard.alive("connection")
    return stream
