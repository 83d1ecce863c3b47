# What a failed handshake means: Mbed TLS's words and numbers, read together with what the server showed.
from . import heap
from .faults import Fault, number

_FATAL_ALERT = const(0x7780)  # as all error numbers here: without the sign
_EOF = const(0x7280)
_PROTOCOL = (0x7280, 0x7200, 0x7100, 0x6E00)  # also: invalid record, bad input, bad version

# What mbedTLS says, and what it means. The texts are those of mbedTLS 3 (x509_crt.c).
_VERDICTS = (
    ("not correctly signed", "tls-untrusted-root"),
    ("does not match with the expected CN", "tls-hostname"),
    ("validity has expired", "tls-expired"),
    ("starts in the future", "tls-not-yet-valid"),
)


def refusal(stream, verdict):
    """The Fault for a failed verification, which mbedTLS reports as ValueError with one sentence a defect."""
    for text, word in _VERDICTS:
        if text in verdict:
            return Fault(word, _explain(stream, word))
    return Fault("tls-failed", " ".join(verdict.split()))


def _explain(stream, word):
    if not stream.chain:
        return "%s is not trusted; the next attempt says what it shows" % stream.host
    issuer, subject = stream.chain[0]  # the certificate nearest to the root
    if word == "tls-hostname":
        return "the server's certificate is for %s, not for %s" % (stream.chain[-1][1], stream.host)
    if word == "tls-expired":
        return "a certificate in the chain of %s has expired" % stream.host
    if word == "tls-not-yet-valid":
        return "a certificate in the chain of %s is not valid yet" % stream.host
    if issuer == subject:
        what = "signed itself" if len(stream.chain) == 1 else "is a root that is not embedded"
        return "the server's %s %s" % (subject, what)
    if len(stream.chain) == 1:
        return "the server sent no intermediate: %s, the issuer of its certificate, is not an embedded root" % issuer
    return "the server's chain ends at %s, which is not an embedded root" % issuer


def failure(stream, error):
    """The Fault for a handshake that ended in an OSError."""
    code = number(error)
    if heap.refused(code):
        return heap.out_of_memory("the handshake failed (%d)" % code)
    if stream.chain is None:
        cause = "the handshake with %s failed (%s); the next attempt says more"
        return Fault("tls-failed", cause % (stream.host, error))
    if stream.chain and code in (_FATAL_ALERT, _EOF, 32, 104):
        return Fault("device-certificate-refused", "the server broke the handshake off after it saw our certificate")
    if code == _FATAL_ALERT:
        return Fault("tls-failed", "%s refused the handshake with an alert before it showed a certificate" % stream.host)
    if code in _PROTOCOL or (not stream.chain and code in (32, 104)):
        return Fault("tls-no-tls", "%s does not answer with TLS (%d)" % (stream.host, code))
    return Fault("tls-failed", "the handshake with %s failed (%s)" % (stream.host, error))
