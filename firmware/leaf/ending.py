# What a connection's end means. In RAM only for that moment, and what it uses one after the other: with shadow and jobs all
# of it at once would make the GC heap of a chip grow, while TLS still holds its memory.
from .faults import Fault
from .modules import use

_ENOUGH = const(3)  # in less than the minute after which a boot counts as good


def of(device, error):
    """Note why an attempt or a connection ended; whether the connection had proved itself before."""
    session = device.session
    up = session.up
    session.close()  # its buffers first
    fault = use("trouble", "named", error)
    proven = False
    if up and fault is error:
        fault = use("evidence", "explain", device.history, fault, session, device.certificate)
        proven = session.proven()
    if (fault.link or fault.word in ("dns", "tcp")) and not device.linked():
        fault = Fault("wifi-lost", "the access point is gone (%s)" % fault.cause)
    device.note(fault)
    device.short = device.short + 1 if fault.word == "out-of-memory" else 0
    if device.short >= _ENOUGH:  # a GC heap that has grown gives nothing back to TLS, but by a reset
        use("leave", "start_over", device)
    if fault.word in ("tls-expired", "tls-not-yet-valid"):
        use("trial", "failed")
    if fault.topic:
        use("suspicion", "set_aside", device, fault.topic)
    elif device.history["doubtful"] is None:
        device.history["doubtful"] = ""
        use("suspicion", "dismiss", device)
    return proven
