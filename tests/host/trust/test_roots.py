"""The embedded roots: what certifi says they are, and nothing else."""

import datetime as dt
import re
import shutil
import ssl
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rootlet import resources
from rootlet.errors import BadInput, RootletError
from rootlet.trust.roots import PinnedRoot, load_manifest

ROOTS = load_manifest().roots


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_a_pinned_root_is_the_one_that_certifi_vouches_for(root: PinnedRoot) -> None:
    bundle = re.findall(r"-----BEGIN.*?-----END CERTIFICATE-----", Path(certifi.where()).read_text(), re.DOTALL)
    assert root.der() in {ssl.PEM_cert_to_DER_cert(pem) for pem in bundle}


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # Starfield's is 0
@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_the_manifest_tells_the_truth_about_the_certificate(root: PinnedRoot) -> None:
    certificate = x509.load_der_x509_certificate(root.der())
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        assert root.key_type == f"EC P-{key.curve.key_size}"
    else:
        assert isinstance(key, rsa.RSAPublicKey)
        assert root.key_type == f"RSA {key.key_size}"
    assert root.not_after == certificate.not_valid_after_utc
    ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert root.ski == ski.hex(":").upper()


def test_the_manifest_names_all_five_and_embeds_one_for_rsa_and_one_for_ecdsa() -> None:
    assert [root.name for root in ROOTS] == [*(f"amazon-root-ca-{n}" for n in (1, 2, 3, 4)), "starfield-services-g2"]
    assert [root.name for root in load_manifest().defaults()] == ["amazon-root-ca-1", "amazon-root-ca-3"]
    assert {root.key_type[:2] for root in load_manifest().defaults()} == {"RS", "EC"}


def test_amazon_root_ca_3_has_the_key_identifier_that_aws_chains_point_at() -> None:
    (root,) = load_manifest().select(["amazon-root-ca-3"])
    assert root.ski == "AB:B6:DB:D7:06:9E:37:AC:30:86:07:91:70:C7:9C:C4:19:B1:78:C0"


def test_no_pinned_root_is_about_to_expire_in_the_field() -> None:
    assert all(root.not_after > dt.datetime.now(dt.UTC) + dt.timedelta(days=5 * 365) for root in ROOTS)


def test_a_root_that_differs_from_its_pin_is_refused(tmp_path: Path) -> None:
    shutil.copytree(resources.CERTS, tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "amazon-root-ca-4.pem", tmp_path / "amazon-root-ca-3.pem")
    changed = {root.name: root for root in load_manifest(tmp_path).roots}
    with pytest.raises(RootletError, match="is not the pinned amazon-root-ca-3"):
        changed["amazon-root-ca-3"].der()
    assert changed["amazon-root-ca-4"].der()


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    shutil.copytree(resources.CERTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "amazon-root-ca-1.pem").write_text("nothing")
    with pytest.raises(RootletError, match="not a PEM certificate"):
        load_manifest(tmp_path).roots[0].der()


def test_an_unknown_root_is_refused_with_the_known_names() -> None:
    with pytest.raises(BadInput, match="amazon-root-ca-9") as refusal:
        load_manifest().select(["amazon-root-ca-9"])
    assert "amazon-root-ca-1" in refusal.value.hint
