# What kept the server from accepting us, once there was a TCP connection. In RAM only for that moment.
from . import evidence, heap
from .faults import Fault


def of(device, fault, stream):
    """A better name for what ended the handshake, or kept the server from accepting us."""
    if fault.word != "connect-refused":  # any other verdict may be a lack of memory that Mbed TLS mistook
        short = heap.shortage("%s (%s)" % (fault.word, fault.cause), lowest=heap.SPARE)
        if short:
            return short
    device.look = stream.chain is None
    endpoint = device.settings["endpoint"]
    if fault.word == "tcp" and stream.chain == []:
        return Fault("tls-no-tls", "%s did not answer the TLS handshake" % endpoint)
    if fault.word == "connection-lost" and not fault.link:
        return evidence.refused(device.history, endpoint, device.session.client_id, device.certificate)
    return fault
