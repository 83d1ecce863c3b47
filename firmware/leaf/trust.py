# Whom the device trusts, and what it shows of itself: the TLS context, made once a boot.
import os

import tls

from . import keys
from .faults import Fault


def load(identity):
    """The names of the embedded roots, and the context that trusts them."""
    names = []

    def one_by_one():  # together they would take 5 KB
        for name, der in anchors():
            names.append(name)
            yield der

    return names, context(one_by_one(), identity)


def context(anchors, credentials):
    """A TLS client context that trusts anchors (DER certificates) and nothing else.

    An endpoint chooses its chain by the suites offered (AWS IoT: ECDSA chains end at Amazon Root CA 3, RSA chains at 1), so
    only suites are offered whose chain can end at an anchor.
    """
    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    kinds = []
    for der in anchors:
        made.load_verify_locations(der)  # of `tls`: bytes; of `ssl` the same position would be a file
        kinds.append("ECDSA" if keys.is_ec(der) else "RSA")
    made.set_ciphers(sorted([name for name in made.get_ciphers() if _fit(name, kinds)]))  # AES-128 first: it is faster
    try:
        made.load_cert_chain(credentials.certificate, credentials.key)
    except (ValueError, OSError) as error:
        raise Fault("credentials", "certificate or key cannot be used (%s)" % error)
    if made.verify_mode != tls.CERT_REQUIRED:  # type: ignore[attr-defined]  # the stubs lack it
        raise Fault("tls-failed", "this firmware's TLS does not verify the server")
    return made


def _fit(suite, kinds):
    # Forward secrecy and authenticated encryption: what AWS IoT's own policies ask for since 2016.
    for kind in kinds:
        if suite.startswith("TLS-ECDHE-%s-WITH-AES-" % kind) and "GCM" in suite:
            return True
    return False


def anchors(directory="/roots"):
    """Names and DER of the embedded roots, one at a time. Raises Fault where there is none."""
    names = sorted(name for name in os.listdir(directory) if name.endswith(".der"))
    if not names:
        raise Fault("config", "no roots in " + directory)
    for name in names:
        with open(directory + "/" + name, "rb") as stream:
            yield name[:-4], stream.read()
