"""A request proves that its sender holds the key; whatever else it asks for is checked or left out."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rootlet.errors import BadInput
from rootlet.pki import certificates, csr, keys
from rootlet.pki.authority import Authority
from rootlet.pki.identity import load_certificates
from support.pki_kit import Rootlet


def make(
    *names: tuple[x509.ObjectIdentifier, str], extensions: tuple[x509.ExtensionType, ...] = ()
) -> x509.CertificateSigningRequest:
    attributes = [x509.NameAttribute(oid, value) for oid, value in names]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(keys.generate(), hashes.SHA256())


SENSOR = (NameOID.COMMON_NAME, "sensor-1")


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_request_gets_a_certificate_and_no_key_file(
    encoding: Encoding, rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path
) -> None:
    request = make(SENSOR, (NameOID.ORGANIZATION_NAME, "Somebody Else"), extensions=(x509.SubjectAlternativeName([]),))
    (tmp_path / "sensor.csr").write_bytes(request.public_bytes(encoding))
    command = ("device", "issue", "--csr", tmp_path / "sensor.csr", "--ca", authority.directory, "--output", tmp_path)
    issued = rootlet(*command, "-O", "Customer A", "--json").json()
    certificate = load_certificates(tmp_path / "sensor-1/device.crt")[0]
    assert certificate.public_key() == request.public_key()
    assert certificate.subject.rfc4514_string() == "CN=sensor-1,O=Customer A"
    assert issued["left_out"] == ["O=Somebody Else", "subjectAltName"]
    assert sorted(path.name for path in (tmp_path / "sensor-1").iterdir()) == ["device.crt", "issuer.crt"]


def test_a_request_that_was_altered_is_refused(tmp_path: Path) -> None:
    der = bytearray(make(SENSOR).public_bytes(Encoding.DER))
    at = der.index(b"sensor-1")
    der[at : at + 8] = b"sensor-2"
    (tmp_path / "sensor.csr").write_bytes(der)
    with pytest.raises(BadInput, match="signature is wrong"):
        csr.read(tmp_path / "sensor.csr")


def usage(**on: bool) -> x509.KeyUsage:
    off = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**(off | on))


@pytest.mark.parametrize(
    ("extension", "problem"),
    [
        (x509.BasicConstraints(ca=True, path_length=None), "to be a CA"),
        (usage(key_cert_sign=True), "sign certificates"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), "lacks clientAuth"),
    ],
)
def test_a_request_for_more_than_a_device_is_refused(extension: x509.ExtensionType, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        csr.check(make(SENSOR, extensions=(extension,)))


def test_a_request_for_what_a_device_has_anyway_is_taken() -> None:
    wishes = (
        x509.BasicConstraints(ca=False, path_length=None),
        usage(digital_signature=True),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    )
    assert csr.check(make(SENSOR, extensions=wishes)).left_out == ()


def test_the_thing_is_the_common_name_or_is_named() -> None:
    assert csr.check(make(SENSOR)).thing == "sensor-1"
    assert csr.check(make(), "sensor-2").thing == "sensor-2"
    for request, thing, problem in (
        (make(SENSOR), "sensor-2", "is for 'sensor-1'"),
        (make(), None, "no common name"),
        (make(SENSOR, (NameOID.COMMON_NAME, "sensor-2")), None, "several common names"),
        (make((NameOID.COMMON_NAME, "not a thing")), None, "not a thing name"),
    ):
        with pytest.raises(BadInput, match=problem):
            csr.check(request, thing)


def request_with(key: Any) -> x509.CertificateSigningRequest:
    name = x509.Name([x509.NameAttribute(*SENSOR)])
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_the_curves_that_aws_takes_are_taken(curve: type[ec.EllipticCurve]) -> None:
    """AWS IoT, CreateCertificateFromCsr: NIST P-256, P-384 and P-521."""
    key = ec.generate_private_key(curve())
    assert csr.check(request_with(key)).public_key == key.public_key()


def test_a_ca_with_p521_signs_with_sha512() -> None:
    key = ec.generate_private_key(ec.SECP521R1())
    root = certificates.root(x509.Name([x509.NameAttribute(*SENSOR)]), key, days=30)
    assert isinstance(root.signature_hash_algorithm, hashes.SHA512)
    root.verify_directly_issued_by(root)


def test_a_key_that_cannot_be_used_is_refused() -> None:
    name = x509.Name([x509.NameAttribute(*SENSOR)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(ed25519.Ed25519PrivateKey.generate(), None)
    with pytest.raises(BadInput, match="unsupported key"):
        csr.check(request)


def test_what_is_no_request_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csr").write_bytes(b"-----BEGIN CERTIFICATE REQUEST-----\nnonsense\n")
    with pytest.raises(BadInput, match=r"x\.csr is not a certificate signing request"):
        csr.read(tmp_path / "x.csr")
