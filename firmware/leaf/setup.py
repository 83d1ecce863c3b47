# What happens once a boot, before anything is connected: the flash is read. Then this code is free heap again.
import gc

from .log import log
from .modules import use
from .mqtt import Session
from .outbox import Outbox

_OUTBOX = const("/state/outbox")
_PRESENCE = const("$aws/events/presence/disconnected/")


def read_flash(device):
    """Give the device its settings, its identity, its TLS context and what hangs on them. Raises Fault.

    Returns its session and its outbox.
    """
    for stream, _, every in device.telemetries:
        if not 0 < every < 1e9:
            raise ValueError("telemetry %s: every=%s is not a number of seconds above 0" % (stream, every))
    settings = device.settings = use("config", "load")
    identity = use("credentials", "load")
    device.thing = identity.thing
    device.certificate = identity.id
    log("identity", "thing %s, certificate %s, issued by %s" % (identity.thing, identity.id, identity.issuer))
    names, device.tls = use("trust", "load", identity)
    del identity
    log("roots", " ".join(names))
    device.topics = use("topics", "table", settings["application"], device.thing)
    client_id = settings["client_id"] or device.thing
    device.presence = _PRESENCE + client_id if settings["presence"] else None
    session = Session(client_id, settings["endpoint"], settings["port"], settings["keep_alive"], device.on_message)
    session.set_last_will(device.topics["status"], b'{"online": false}', retain=True, qos=1)
    session.on_skipped = device.on_skipped
    session.on_second = device.on_second
    device.history = use("evidence", "history")
    device.record_of_faults = use("journal", "kept", use("boots", "reset_cause"))
    outbox = Outbox(_OUTBOX, settings["outbox_ram"], settings["outbox_flash"])
    gc.collect()
    short = use("heap", "too_little_for_all", settings["wifi"])
    if short:
        log("heap", short.cause)
    return session, outbox
