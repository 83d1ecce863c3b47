# A key pair of the board's own, and what it signs. The private key is an int and never leaves what called.
import hashlib
import os

from . import p256
from .faults import Fault

_TRIES = const(8)
_SAME = const(6)  # bytes in a row; by chance once in 2^40 times
_OFTEN = const(17)  # times one byte among 256; by chance once in 2^43 times
_SAMPLE = const(256)


def generate(radio=True):
    """A private key. radio: whether one is on, or the platform has another source of entropy. Raises Fault.

    An ESP32's random numbers are true only while a radio is on (ESP-IDF: Random Number Generation).
    """
    if not radio:
        raise Fault("no-entropy", "the radio is off, and random numbers are none then")
    for _ in range(_TRIES):
        secret = int.from_bytes(_random(32), "big")
        if 0 < secret < p256.N:  # by rejection, so that each is as likely (FIPS 186-5 section A.2.2)
            return secret
    raise Fault("no-entropy", "no random number is in the range of a key")


def _random(count):
    # The health tests of SP 800-90B section 4.4: a source that is stuck, or prefers a value, is none.
    sample = os.urandom(_SAMPLE)
    run = 1
    for at in range(1, _SAMPLE):
        run = run + 1 if sample[at] == sample[at - 1] else 1
        if run >= _SAME:
            raise Fault("no-entropy", "the random numbers repeat themselves")
    for byte in set(sample):
        if sample.count(bytes((byte,))) >= _OFTEN:
            raise Fault("no-entropy", "the random numbers prefer one value")
    # All of the sample goes in, so that what the tests let pass unseen is spread out.
    return hashlib.sha256(sample + os.urandom(count)).digest()[:count]


def sign(secret, digest):
    """The signature over a message with this SHA-256 digest, DER; always the same for the same (RFC 6979)."""
    for k in nonces(secret, digest):
        r = p256.multiply(k)[0] % p256.N
        s = pow(k, p256.N - 2, p256.N) * (p256.number(digest) + r * secret) % p256.N
        if r and s:
            return wrap(0x30, integer(r) + integer(s))


def nonces(secret, digest):
    """The values of k, of which the first is good but for one time in 2^32 (RFC 6979 section 3.2, with SHA-256)."""
    given = secret.to_bytes(32, "big") + (p256.number(digest) % p256.N).to_bytes(32, "big")
    key, value = bytes(32), b"\x01" * 32
    for separator in (b"\x00", b"\x01"):
        key = _hmac(key, value + separator + given)
        value = _hmac(key, value)
    while True:
        value = _hmac(key, value)
        k = int.from_bytes(value, "big")
        if 0 < k < p256.N:
            yield k
        key = _hmac(key, value + b"\x00")
        value = _hmac(key, value)


def _hmac(key, message):
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]) + b"\x36" * 32 + message).digest()
    return hashlib.sha256(bytes([byte ^ 0x5C for byte in key]) + b"\x5c" * 32 + inner).digest()


def sec1(secret, public):
    """The key as Mbed TLS loads it: ECPrivateKey (RFC 5915), DER."""
    return wrap(
        0x30,
        b"\x02\x01\x01"
        + wrap(4, secret.to_bytes(32, "big"))
        + wrap(0xA0, b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
        + wrap(0xA1, wrap(3, b"\x00" + point(public))),
    )


def point(public):
    """A public key, uncompressed (SEC 1 section 2.3.3)."""
    return b"\x04" + public[0].to_bytes(32, "big") + public[1].to_bytes(32, "big")


def integer(value):
    """INTEGER of a number of 256 bits at most, which is not negative; DER."""
    data = value.to_bytes(33, "big").lstrip(b"\x00")
    return wrap(2, b"\x00" + data if not data or data[0] & 0x80 else data)


def wrap(tag, content):
    """DER of a tag with this content, of 65,535 bytes at most."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content
