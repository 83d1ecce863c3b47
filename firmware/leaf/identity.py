# What a device has of its flash: settings, identity and the TLS context. First of all, before what it needs all the time is
# in RAM: both together would make the GC heap of a chip grow.
from .log import log
from .modules import use


def load(device):
    """Read the flash. Raises Fault."""
    device.settings = use("config", "load")
    identity = use("credentials", "load")
    device.thing = identity.thing
    device.certificate = identity.id
    log("identity", "thing %s, certificate %s, issued by %s" % (identity.thing, identity.id, identity.issuer))
    names, device.tls = use("trust", "load", identity)
    log("roots", " ".join(names))
