"""A certificate after the first of a series is, byte for byte, what the library would have encoded."""

import datetime as dt
from collections.abc import Callable

import pytest
from cryptography import x509
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import BACKDATE, Issuer
from rootlet.pki.keys import KeyType
from rootlet.pki.series import DeviceSeries
from rootlet.pki.subject import Subject

Lint = Callable[[x509.Certificate], list[str]]
FULL = Subject(organization="Grüne Gärten AG", country="CH", state="Zürich", dn_qualifier="q-1", serial_number="SN:0001")
KEY_TYPES: list[tuple[KeyType, KeyType]] = [
    ("ec-p256", "ec-p256"),
    ("ec-p384", "ec-p256"),
    ("ec-p256", "rsa-2048"),
    ("rsa-2048", "ec-p384"),
]


def make_issuer(key_type: KeyType) -> Issuer:
    key = keys.generate(key_type)
    a_year_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    return Issuer(certificates.root(FULL.name("Root"), key, days=3650, now=a_year_ago), key)


@pytest.mark.parametrize(("of_issuer", "of_device"), KEY_TYPES)
def test_it_differs_from_the_librarys_in_nothing(
    of_issuer: KeyType, of_device: KeyType, monkeypatch: pytest.MonkeyPatch, lint: Lint
) -> None:
    monkeypatch.setattr(certificates, "serial_number", lambda: 0x41 << 152 | 7)
    issuer = make_issuer(of_issuer)
    series = DeviceSeries(issuer, days=365)
    first = x509.load_der_x509_certificate(series.certificate(Subject().name("a"), keys.generate(of_device).public_key()))
    began = first.not_valid_before_utc + BACKDATE
    for subject, kind in (
        (FULL.name("sensor-" + "7" * 57), of_device),
        (Subject().name("b"), of_device),
        (Subject().name("other-key"), "ec-p384" if of_device == "ec-p256" else "ec-p256"),
    ):
        public_key = keys.generate(kind).public_key()
        made = x509.load_der_x509_certificate(series.certificate(subject, public_key))
        expected = certificates.device(subject, public_key, issuer, days=365, now=began)
        assert made.tbs_certificate_bytes == expected.tbs_certificate_bytes
        assert made.signature_algorithm_oid == expected.signature_algorithm_oid
        made.verify_directly_issued_by(issuer.certificate)
        assert lint(made) == []


def test_every_certificate_has_a_serial_number_of_its_own() -> None:
    series = DeviceSeries(make_issuer("ec-p256"), days=365)
    public_key = keys.generate().public_key()
    made = [x509.load_der_x509_certificate(series.certificate(Subject().name("a"), public_key)) for _ in range(20)]
    assert len({certificate.serial_number for certificate in made}) == 20
