"""Every profile is RFC 5280 to the letter, and chains that we issue verify where others verify them."""

import datetime as dt
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rootlet.errors import BadInput
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import Issuer
from rootlet.pki.keys import KEY_TYPES, KeyType
from rootlet.pki.subject import Subject
from support.certificates import certificate

Lint = Callable[[x509.Certificate], list[str]]
FULL = Subject(
    organization="Grüne Gärten AG",
    organizational_unit="Batch 7",
    country="CH",
    state="Zürich",
    dn_qualifier="q-1",
    serial_number="SN:0001",
)


def make_root(key_type: KeyType = "ec-p256", path_length: int | None = None) -> Issuer:
    key = keys.generate(key_type)
    return Issuer(certificates.root(FULL.name("Root"), key, days=3650, path_length=path_length), key)


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


@pytest.fixture(scope="module")
def device(root: Issuer) -> x509.Certificate:
    return certificates.device(FULL.name("sensor-1"), keys.generate().public_key(), root, days=365)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_no_certificate_gives_pkilint_anything_to_find(key_type: KeyType, lint: Lint) -> None:
    root = make_root(key_type)
    device_key = keys.generate("rsa-2048" if key_type.startswith("rsa") else key_type).public_key()
    above = Issuer(certificates.intermediate(FULL.name("Batch"), device_key, root, days=730), root.key)
    issued = {
        "root": root.certificate,
        "intermediate": above.certificate,
        "device": certificates.device(FULL.name("sensor-1"), device_key, root, days=365),
        "bare device": certificates.device(Subject().name("sensor-1"), device_key, above, days=365),
        "server": certificates.server(["a-ats.iot.eu-west-1.localhost", "127.0.0.1", "::1"], device_key, root, days=90),
        "verification": certificates.verification("ab" * 32, device_key, root),
    }
    assert {profile: found for profile, one in issued.items() if (found := lint(one))} == {}


def test_pkilint_is_awake(root: Issuer, lint: Lint) -> None:
    """The lint above means something only if it can find a fault."""
    key = keys.generate()
    not_critical = [(x509.BasicConstraints(ca=True, path_length=None), False)]
    faulty = certificate(FULL.name("x"), key, not_critical, by=root, valid=(0, 0), serial=0x1234)
    assert lint(faulty)


def test_a_device_certificate_can_be_a_client_and_nothing_else(device: x509.Certificate) -> None:
    extensions = {extension.oid: extension for extension in device.extensions}
    constraints = extensions[x509.BasicConstraints.oid]
    usage = extensions[x509.KeyUsage.oid]
    assert constraints.critical and constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert list(extensions[x509.ExtendedKeyUsage.oid].value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert len(extensions) == 5


def test_a_device_certificate_names_its_own_key_and_its_issuers(root: Issuer, device: x509.Certificate) -> None:
    subject_key = device.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority_key = device.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    issuer_key = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert subject_key == x509.SubjectKeyIdentifier.from_public_key(device.public_key())
    assert authority_key.key_identifier == issuer_key.digest


def test_a_serial_number_is_20_random_bytes_and_positive() -> None:
    serials = {certificates.serial_number() for _ in range(200)}
    assert len(serials) == 200
    assert {serial.bit_length() for serial in serials} == {159}
    # Every bit below the top two is random: it is seen both set and clear.
    both = [
        any(serial >> bit & 1 for serial in serials) and not all(serial >> bit & 1 for serial in serials)
        for bit in range(158)
    ]
    assert all(both)


def test_validity_begins_a_day_early_and_ends_with_the_issuer() -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    key = keys.generate()
    old = Issuer(certificates.root(FULL.name("Old"), key, days=40, now=now - dt.timedelta(days=10)), key)
    device = certificates.device(FULL.name("sensor-1"), key.public_key(), old, days=365, now=now)
    assert device.not_valid_before_utc == now - dt.timedelta(hours=24)
    assert device.not_valid_after_utc == old.certificate.not_valid_after_utc
    # … and never begins before its issuer does.
    young = Issuer(certificates.root(FULL.name("Young"), key, days=40, now=now + dt.timedelta(hours=5)), key)
    device = certificates.device(FULL.name("sensor-1"), key.public_key(), young, days=5, now=now)
    assert device.not_valid_before_utc == young.certificate.not_valid_before_utc


def test_an_expired_ca_issues_nothing() -> None:
    key = keys.generate()
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=100)
    expired = Issuer(certificates.root(FULL.name("Old"), key, days=40, now=then), key)
    with pytest.raises(BadInput, match="expired on"):
        certificates.device(FULL.name("sensor-1"), key.public_key(), expired, days=365)


@pytest.mark.parametrize("days", [0, -1, 40_000, 10**12])
def test_a_senseless_validity_is_refused(days: int, root: Issuer) -> None:
    with pytest.raises(BadInput, match="days"):
        certificates.device(FULL.name("sensor-1"), root.key.public_key(), root, days=days)


def test_an_intermediate_without_room_below_it_issues_no_ca(root: Issuer) -> None:
    key = keys.generate()
    batch = Issuer(certificates.intermediate(FULL.name("Batch"), key.public_key(), root, days=30), key)
    assert certificates.device(FULL.name("sensor-1"), key.public_key(), batch, days=30)
    with pytest.raises(BadInput, match="path length 0"):
        certificates.intermediate(FULL.name("Below"), key.public_key(), batch, days=30)
    shallow = make_root(path_length=1)
    with pytest.raises(BadInput, match="path length 1") as refused:
        certificates.intermediate(FULL.name("Batch"), key.public_key(), shallow, days=30, path_length=1)
    assert "--path-length 0" in refused.value.hint


@pytest.mark.parametrize("curve", ["ec-p256", "ec-p384"])
def test_openssl_verifies_a_device_below_two_intermediates(curve: KeyType, tmp_path: Path) -> None:
    root = make_root(curve)
    chain = [root]
    for depth, name in ((1, "Customer"), (0, "Batch")):
        key = keys.generate(curve)
        certificate = certificates.intermediate(FULL.name(name), key.public_key(), chain[-1], days=365, path_length=depth)
        chain.append(Issuer(certificate, key))
    device = certificates.device(FULL.name("sensor-1"), keys.generate().public_key(), chain[-1], days=365)
    (tmp_path / "root.crt").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    between = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in chain[1:])
    (tmp_path / "between.crt").write_bytes(between)
    (tmp_path / "device.crt").write_bytes(device.public_bytes(Encoding.PEM))
    strict = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "root.crt"]
    subprocess.run([*strict, "-untrusted", "between.crt", "device.crt"], cwd=tmp_path, check=True, capture_output=True)
    server = [*strict[:4], "sslserver", *strict[5:]]
    refused = subprocess.run(
        [*server, "-untrusted", "between.crt", "device.crt"], cwd=tmp_path, check=False, capture_output=True
    )
    assert refused.returncode != 0


def test_a_p384_ca_signs_with_sha384() -> None:
    algorithm = make_root("ec-p384").certificate.signature_hash_algorithm
    assert algorithm and algorithm.name == "sha384"


def test_the_subject_carries_what_the_batch_shares(device: x509.Certificate) -> None:
    shown = {attribute.oid: attribute.value for attribute in device.subject}
    assert shown == {
        NameOID.COUNTRY_NAME: "CH",
        NameOID.STATE_OR_PROVINCE_NAME: "Zürich",
        NameOID.ORGANIZATION_NAME: "Grüne Gärten AG",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "Batch 7",
        NameOID.DN_QUALIFIER: "q-1",
        NameOID.SERIAL_NUMBER: "SN:0001",
        NameOID.COMMON_NAME: "sensor-1",
    }


@pytest.mark.parametrize(
    "part", [{"country": "ch"}, {"country": "CHE"}, {"serial_number": "SN_1"}, {"organization": " "}, {"dn_qualifier": "ü"}]
)
def test_a_subject_that_x509_does_not_take_is_refused(part: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        Subject(**part)


@pytest.mark.parametrize("part", ["organization", "organizational_unit", "serial_number"])
def test_a_subject_that_is_too_long_is_refused(part: str) -> None:
    assert Subject(**{part: "O" * 64}).name("sensor-1")
    with pytest.raises(BadInput, match="65 characters"):
        Subject(**{part: "O" * 65})


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
    ],
    ids=["ed25519", "secp256k1", "rsa-1024"],
)
def test_a_key_that_aws_iot_or_the_board_cannot_use_is_refused(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(BadInput, match="unsupported key"):
        certificates.supported_public_key(key.public_key())
