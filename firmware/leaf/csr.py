# A request for a certificate, made on the board (PKCS#10, RFC 2986).
import hashlib

from .keypair import point, sign, wrap

_COMMON_NAME = const(b"\x06\x03\x55\x04\x03")
_EC_P256 = const(
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
)  # id-ecPublicKey, prime256v1
_ECDSA_SHA256 = const(b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02")


def request(secret, public, name):
    """A request for a certificate with this common name (64 characters at most), DER."""
    subject = wrap(0x30, wrap(0x31, wrap(0x30, _COMMON_NAME + wrap(0x0C, name.encode()))))
    key = wrap(0x30, wrap(0x30, _EC_P256) + wrap(3, b"\x00" + point(public)))
    body = wrap(0x30, b"\x02\x01\x00" + subject + key + b"\xa0\x00")
    signature = sign(secret, hashlib.sha256(body).digest())
    return wrap(0x30, body + wrap(0x30, _ECDSA_SHA256) + wrap(3, b"\x00" + signature))


def pem(der, what="CERTIFICATE REQUEST"):
    """DER as PEM text (RFC 7468)."""
    import binascii

    lines = [binascii.b2a_base64(der[at : at + 48]).decode() for at in range(0, len(der), 48)]
    return "-----BEGIN %s-----\n%s-----END %s-----\n" % (what, "".join(lines), what)
