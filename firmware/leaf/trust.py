# Whom the device trusts, and what it shows of itself: the TLS context, made once a boot.
import os

import tls

from . import faults, heap, keys
from .faults import Fault
from .modules import use


def load(identity):
    """The names of the roots that can be used, and the context that trusts them. Raises Fault where none is left."""
    names = []
    return names, context(anchors(), identity, names)


def context(anchors, credentials, names):
    """A TLS client context that trusts anchors (name and DER certificate of each) and nothing else.

    One that Mbed TLS does not load is reported and left out; the names of the others go into names.

    An endpoint chooses its chain by the suites offered (AWS IoT: ECDSA chains end at Amazon Root CA 3, RSA chains at 1), so
    only suites are offered whose chain can end at an anchor.
    """
    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    kinds = []
    for name, der in anchors:
        try:
            made.load_verify_locations(der)  # of `tls`: bytes; of `ssl` the same position would be a file
            kinds.append("ECDSA" if keys.is_ec(der) else "RSA")
            names.append(name)
        except (ValueError, OSError, IndexError) as error:
            _unless_memory("loading the root " + name, error)
            use("trouble", "keep", Fault("root-unusable", "%s cannot be loaded (%s): left out" % (name, error)))
    if not names:
        raise Fault("root-unusable", "no embedded root can be used")
    made.set_ciphers(_suites(kinds))
    try:
        made.load_cert_chain(credentials.certificate, credentials.key)
    except (ValueError, OSError) as error:
        _unless_memory("loading the identity", error)
        raise Fault("credentials", "certificate or key cannot be used (%s)" % error)
    if made.verify_mode != tls.CERT_REQUIRED:  # type: ignore[attr-defined]  # the stubs lack it
        raise Fault("tls-failed", "this firmware's TLS does not verify the server")
    return made


def _unless_memory(what, error):
    # Loading a certificate or key takes C heap. That there was none is not its fault, and may be over after a reset, which a
    # fault of the flash would not lead to.
    code = faults.number(error) if isinstance(error, OSError) else 0
    short = heap.told_apart(code, what) or heap.shortage(what, lowest=heap.SPARE)
    if short:
        raise MemoryError(short.cause)


def _suites(kinds):
    # Forward secrecy and authenticated encryption: what AWS IoT's own policies ask for since 2016. AES-128 first: it is
    # faster. Every official build has them; to ask it would take 4 KB for the names of all that it has.
    suites = []
    for kind in ("ECDSA", "RSA"):
        if kind in kinds:
            for cipher in ("AES-128-GCM-SHA256", "AES-256-GCM-SHA384"):
                suites.append("TLS-ECDHE-%s-WITH-%s" % (kind, cipher))
    return suites


def anchors(directory="/roots"):
    """Names and DER of the embedded roots, one at a time: together they would take 5 KB. Raises Fault where there is none.

    One that cannot be read is reported and left out.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".der"))
    except OSError as error:
        raise Fault("root-unusable", "%s cannot be read (%s)" % (directory, error))
    if not names:
        raise Fault("config", "no roots in " + directory)
    for name in names:
        try:
            with open(directory + "/" + name, "rb") as stream:
                der = stream.read()
        except OSError as error:
            use("trouble", "keep", Fault("root-unusable", "%s cannot be read (%s): left out" % (name[:-4], error)))
            continue
        yield name[:-4], der
