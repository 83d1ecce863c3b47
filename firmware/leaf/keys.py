# What a certificate says of its public key (RFC 5280 section 4.1).
from .x509 import fields, value

_EC = const(b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01")  # OID 1.2.840.10045.2.1, DER


def is_ec(der):
    """Whether the public key is an elliptic curve's; else it is RSA's."""
    _, _, (_, start, end) = fields(der)
    return der[start:end].find(_EC) >= 0


def public_bytes(der):
    """The part of the public key that a private key's DER repeats: the EC point, or the RSA modulus."""
    _, _, (_, at, _) = fields(der)
    _, _, at = value(der, at)  # behind the algorithm: the BIT STRING
    _, start, end = value(der, at)
    key = der[start + 1 : end]  # behind the count of unused bits
    if key[0] == 0x04:
        return key
    _, at, _ = value(key, 0)
    _, start, end = value(key, at)
    return key[start:end]
