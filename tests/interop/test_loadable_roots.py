"""A root that a real Mbed TLS (the Unix port's) does not load is refused, and no other."""

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.trust import judge
from rootlet.trust.loading import unloadable
from rootlet.trust.model import Certificate
from rootlet.trust.report import key_types
from support.certificates import certificate

CONSTRAINED = x509.NameConstraints([x509.DNSName("a.example")], None)
POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
LOAD = """
import sys, tls
try:
    tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).load_verify_locations(bytes.fromhex(sys.stdin.read()))
    print("loaded")
except ValueError as error:
    print(error)
"""


def made(key: Any = None, *extensions: tuple[x509.ExtensionType, bool], **more: Any) -> x509.Certificate:
    basic = (x509.BasicConstraints(ca=True, path_length=None), True)
    return certificate("Some Root", key or ec.generate_private_key(ec.SECP256R1()), [basic, *extensions], **more)


def edwards(key: Any) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Edwards")])
    sound = made()
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, sound.not_valid_before_utc, sound.not_valid_after_utc)
    return builder.sign(key, None)


def on_curve(curve: ec.EllipticCurve) -> Callable[[], x509.Certificate]:
    return lambda: made(ec.generate_private_key(curve))


def of_rsa(bits: int, **more: Any) -> Callable[[], x509.Certificate]:
    return lambda: made(rsa.generate_private_key(65537, bits), **more)


ROOTS: dict[str, tuple[Callable[[], x509.Certificate], bool]] = {
    "EC P-256": (made, True),
    "critical name constraints": (lambda: made(None, (CONSTRAINED, True)), False),
    "name constraints": (lambda: made(None, (CONSTRAINED, False)), True),
    "critical policy": (lambda: made(None, (POLICY, True)), False),
    "critical policy constraints": (lambda: made(None, (x509.PolicyConstraints(0, None), True)), False),
    "Ed25519": (lambda: edwards(ed25519.Ed25519PrivateKey.generate()), False),
    "Ed448": (lambda: edwards(ed448.Ed448PrivateKey.generate()), False),
    "DSA": (lambda: made(dsa.generate_private_key(2048)), False),
    "EC P-521": (on_curve(ec.SECP521R1()), True),
    "EC P-224": (on_curve(ec.SECP224R1()), True),
    "EC K-256": (on_curve(ec.SECP256K1()), True),
    "brainpool": (on_curve(ec.BrainpoolP256R1()), False),
    "RSA 1024": (of_rsa(1024), True),
    "RSA 2048": (of_rsa(2048), True),
    "RSASSA-PSS": (of_rsa(2048, padding=padding.PSS(padding.MGF1(hashes.SHA256()), 32)), False),
    "SHA-512": (lambda: made(digest=hashes.SHA512()), True),
    "SHA-224": (lambda: made(digest=hashes.SHA224()), True),
    "SHA3-256": (lambda: made(digest=hashes.SHA3_256()), False),
}


@pytest.mark.parametrize("name", ROOTS)
def test_a_root_is_judged_as_a_real_mbedtls_loads_it(name: str) -> None:
    build, loads = ROOTS[name]
    der = build().public_bytes(Encoding.DER)
    command = [sys.executable, "-m", "micropython_unix", "-c", LOAD]
    real = subprocess.run(command, input=der.hex(), capture_output=True, text=True, check=True, timeout=30)
    assert (real.stdout.strip() == "loaded") == loads, real.stdout + real.stderr
    assert (unloadable(Certificate(der)) == "") == loads


def test_a_device_is_judged_by_the_roots_that_it_loads() -> None:
    useless, sound = (Certificate(one.public_bytes(Encoding.DER)) for one in (ROOTS["Ed25519"][0](), made()))
    now = dt.datetime.now(dt.UTC)
    with_others = judge.judge([sound], [useless, sound], None, now).rules[0]
    assert with_others.ok and "leaves out an embedded root that it cannot load: " in with_others.text
    alone = judge.judge([sound], [useless], None, now)
    assert not alone.ok
    assert (alone.broken[0].name, alone.broken[0].word) == ("roots", "root-unusable")
    assert key_types([useless, sound]) == ("ecdsa",)
    assert key_types([useless]) == ()
