"""A CA to issue from, the command line, and pkilint."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint import loader
from pkilint.pkix import certificate as pkix
from pkilint.pkix import extension, name
from pkilint.validation import ValidationFindingSeverity
from rootlet.cli import main
from support.pki_kit import PASSPHRASE, Ran


@pytest.fixture(autouse=True)
def _no_secrets_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CA", "PARENT"):
        for what in ("PASSPHRASE", "PIN"):
            monkeypatch.delenv(f"ROOTLET_{kind}_{what}", raising=False)


@pytest.fixture
def rootlet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a rootlet command in this process."""

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr("sys.argv", ["rootlet", *map(str, arguments)])
        code = 0
        try:
            main.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def passphrase(monkeypatch: pytest.MonkeyPatch) -> str:
    """PASSPHRASE, in the environment."""
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", PASSPHRASE)
    return PASSPHRASE


@pytest.fixture(scope="session")
def lint() -> Callable[[x509.Certificate], list[str]]:
    """What pkilint's RFC 5280 rules find in a certificate, from WARNING up."""
    validator = pkix.create_pkix_certificate_validator_container(
        pkix.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            pkix.create_issuer_validator_container([]),
            pkix.create_validity_validator_container(),
            pkix.create_subject_validator_container([]),
            pkix.create_extensions_validator_container([]),
            pkix.create_spki_validator_container([]),
        ],
    )

    def findings(certificate: x509.Certificate) -> list[str]:
        document = loader.RFC5280CertificateDocumentLoader()
        parsed = document.load_der_document(certificate.public_bytes(Encoding.DER), "certificate")
        return [
            f"{found.finding.code}: {found.message}"
            for result in validator.validate(parsed.root)
            for found in result.finding_descriptions
            if found.finding.severity <= ValidationFindingSeverity.WARNING
        ]

    return findings
