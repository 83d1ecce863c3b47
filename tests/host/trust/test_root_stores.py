"""The root stores of browsers, in the forms in which they are published, and what they say of the pinned roots."""

import csv
import dataclasses
import datetime as dt
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.cli.trust import roots as cli
from rootlet.errors import BadInput
from rootlet.trust import root_stores, stores
from rootlet.trust.model import Certificate
from rootlet.trust.roots import Manifest, PinnedRoot, load_manifest
from support.defects import Signed, sign

NOW = dt.datetime.now(dt.UTC)
PINNED = {root.name: root for root in load_manifest().roots}


def der(signed: Signed) -> bytes:
    return signed.certificate.public_bytes(Encoding.DER)


def pinned(path: Path, signed: Signed) -> PinnedRoot:
    """A pin of a certificate, as those in the manifest are."""
    path.write_bytes(signed.certificate.public_bytes(Encoding.PEM))
    parsed = Certificate(der(signed))
    return PinnedRoot("a-root", path, parsed.fingerprint, parsed.key, parsed.not_after, parsed.ski, default=True)


def told(root: PinnedRoot, store: root_stores.RootStore) -> str:
    """What the check says of a root because of a store, beside what certifi makes of a root that nobody knows."""
    (found,) = stores.check(Manifest((root,)), NOW, 30, [store])
    return "; ".join(problem for problem in found.problems if not problem.startswith("not in certifi:"))


def octal(data: bytes) -> str:
    return "MULTILINE_OCTAL\n" + "".join(f"\\{byte:03o}" for byte in data) + "\nEND"


def certdata(signed: Signed, *, trust: str = "CKT_NSS_TRUSTED_DELEGATOR", after: str = "", on_trust: str = "") -> str:
    """Mozilla's two objects of a root. A date may stand in either."""
    certificate = signed.certificate
    which = [
        f"CKA_ISSUER {octal(certificate.issuer.public_bytes())}",
        f"CKA_SERIAL_NUMBER {octal(certificate.serial_number.to_bytes(20, 'big'))}",
    ]
    dates = [
        f"CKA_NSS_SERVER_DISTRUST_AFTER {octal(date.encode()) if date else 'CK_BBOOL CK_FALSE'}"
        for date in (after, on_trust)
    ]
    head = "#\n# Certificate\nCKA_CLASS CK_OBJECT_CLASS"
    return "\n".join([
        f"{head} CKO_CERTIFICATE", 'CKA_LABEL UTF8 "Test"', *which, f"CKA_VALUE {octal(der(signed))}", dates[0], "",
        f"{head} CKO_NSS_TRUST", *which, dates[1], f"CKA_TRUST_SERVER_AUTH CK_TRUST {trust}", "",
    ])  # fmt: skip


def chromium(*anchors: tuple[str, str, str]) -> str:
    """Chromium's text form: name, fingerprint, and the constraints as text."""
    body = ""
    for name, digest, more in anchors:
        body += f"# CN={name}, O=Amazon, C=US\ntrust_anchors {{\n"
        body += f'  sha256_hex: "{digest}"\n  ev_policy_oids: "2.23.140.1.1"\n{more}}}\n\n'
    return f"# Chrome Root Store.\n#\n# proto-message: RootStore\n\nversion_major: 28\n\n{body}"


def read(path: Path, text: str) -> root_stores.RootStore:
    path.write_text(text)
    return root_stores.read(path)


def test_certifi_is_read_as_a_store_and_has_every_pinned_root() -> None:
    assert {root.sha256 for root in PINNED.values()} <= set(stores.certifi_store().roots)


@pytest.mark.parametrize("header", ["", "# Chrome Root Store: certificates\n"])
def test_a_bundle_of_certificates_is_a_store(tmp_path: Path, header: str) -> None:
    signed = sign("A Root", ca=True)
    store = read(tmp_path / "bundle.pem", header + signed.certificate.public_bytes(Encoding.PEM).decode())
    assert told(pinned(tmp_path / "r.pem", signed), store) == ""


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ("", ""),
        ("  constraints: {\n    sct_not_after_sec: 1731283199\n  }\n", "distrusts what it issues after 2024-11-10"),
        ("  constraints {\n    sct_not_after_sec: 4102444799\n  }\n", "distrusts what it issues after 2099-12-31"),
        # Either set is enough, and one has no date:
        ('  constraints {\n    sct_not_after_sec: 1731283199\n  }\n  constraints { permitted_dns_names: "x" }\n', ""),
        # The other set is for versions that are gone:
        (
            '  constraints: {\n    sct_not_after_sec: 1754006399\n    min_version: "139"\n  }\n'
            '  constraints: {\n    max_version_exclusive: "139"\n  }\n',
            "distrusts what it issues after 2025-07-31",
        ),
    ],
)
def test_chromiums_constraints_are_read(tmp_path: Path, constraints: str, words: str) -> None:
    root = PINNED["amazon-root-ca-1"]
    other = ("Amazon Root CA 3", PINNED["amazon-root-ca-3"].sha256, "")
    store = read(tmp_path / "root_store.textproto", chromium(("Amazon Root CA 1", root.sha256, constraints), other))
    assert told(root, store) == (f"root_store.textproto {words}" if words else "")
    assert told(PINNED["amazon-root-ca-3"], store) == ""


def test_what_chromium_lacks_was_withdrawn_or_has_another_certificate(tmp_path: Path) -> None:
    store = read(tmp_path / "s.textproto", chromium(("Amazon Root CA 1", "0" * 64, ""), ("Amazon EU Root", "1" * 64, "")))
    assert "another certificate of its name (SHA-256 0000000000000000…)" in told(PINNED["amazon-root-ca-1"], store)
    assert "not in s.textproto: the root was withdrawn" in told(PINNED["amazon-root-ca-2"], store)
    names = stores.missing_amazon_roots(load_manifest(), [store])
    assert names == ["CN=Amazon Root CA 1, O=Amazon, C=US", "CN=Amazon EU Root, O=Amazon, C=US"]


def test_an_additional_certificate_of_chromium_counts_where_it_is_an_anchor(tmp_path: Path) -> None:
    signed = sign("A Root", ca=True)
    root = pinned(tmp_path / "r.pem", signed)
    for anchor, words in (("true", ""), ("false", "not in x.textproto")):
        more = f'additional_certs {{\n  sha256_hex: "{root.sha256}"\n  tls_trust_anchor: {anchor}\n}}\n'
        store = read(tmp_path / "x.textproto", chromium(("Amazon Root CA 1", "0" * 64, "")) + more)
        assert told(root, store).startswith(words) and bool(told(root, store)) == bool(words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, ""),
        ({"after": "260415235959Z"}, "distrusts what it issues after 2026-04-15"),
        ({"on_trust": "260415235959Z"}, "distrusts what it issues after 2026-04-15"),  # it may stand in either object
        ({"trust": "CKT_NSS_MUST_VERIFY_TRUST"}, "does not trust it for servers"),
        ({"trust": "CKT_NSS_NOT_TRUSTED"}, "does not trust it for servers"),
    ],
)
def test_mozillas_certdata_is_read(tmp_path: Path, more: dict[str, str], words: str) -> None:
    signed, other = sign("A Root", ca=True), sign("Another Root", ca=True)
    store = read(
        tmp_path / "certdata.txt", "BEGINDATA\n" + certdata(other) + certdata(signed, **more) + certdata(sign("Z", ca=True))
    )
    assert len(store.roots) == 3
    assert told(pinned(tmp_path / "r.pem", signed), store) == (f"certdata.txt {words}" if words else "")
    assert told(pinned(tmp_path / "o.pem", other), store) == ""


@pytest.mark.parametrize(
    ("bits", "after", "words"),
    [
        ("Websites;Email", "", ""),
        ("Email", "", "does not trust it for servers"),
        ("Websites", "2026.04.15", "distrusts what it issues after 2026-04-15"),
    ],
)
def test_a_report_of_ccadb_is_read(tmp_path: Path, bits: str, after: str, words: str) -> None:
    signed = sign("A Root", ca=True)
    root = pinned(tmp_path / "r.pem", signed)
    text = io.StringIO()
    rows = csv.writer(text, quoting=csv.QUOTE_ALL)
    header = ["Owner", "Common Name or Certificate Name", "SHA-256 Fingerprint", "Trust Bits", "Distrust for TLS After Date"]
    rows.writerows([[*header, "PEM Info"], ["X", "A Root", root.sha256.upper(), bits, after, f"'{root.path.read_text()}'"]])
    store = read(tmp_path / "report.csv", text.getvalue())
    assert told(root, store) == (f"report.csv {words}" if words else "")


def test_a_root_that_was_reissued_renamed_or_replaced_is_told_apart(tmp_path: Path) -> None:
    old = sign("A Root", ca=True)
    root = pinned(tmp_path / "r.pem", old)
    for name, key, words in (
        ("A Root", old.key, "its key and name in another certificate"),
        ("A Better Root", old.key, "its key under the name CN=A Better Root"),
        ("A Root", ec.generate_private_key(ec.SECP256R1()), "another key of its name"),
    ):
        new = sign(name, ca=True, key=key, valid=(-10, 4000))
        store = read(tmp_path / "s.pem", new.certificate.public_bytes(Encoding.PEM).decode())
        assert words in told(root, store)


def test_the_command_compares_with_every_store_it_is_given(tmp_path: Path) -> None:
    every = [(root.name, root.sha256, "") for root in PINNED.values()]
    sound = tmp_path / "sound.textproto"
    sound.write_text(chromium(*every))
    (tmp_path / "less.textproto").write_text(chromium(*every[1:]))
    good = CliRunner().invoke(cli.command, ["check", "--store", str(sound)])
    assert good.exit_code == 0, good.output
    assert "as pinned, in certifi, in sound.textproto" in good.output
    bad = CliRunner().invoke(
        cli.command, ["check", "--store", str(sound), "--store", str(tmp_path / "less.textproto"), "--json"]
    )
    assert bad.exit_code == 1
    first, *others = json.loads(bad.stdout)["roots"]
    assert first["problems"] == ["not in less.textproto: the root was withdrawn, or less.textproto is old"]
    assert not any(root["problems"] for root in others)


def test_a_root_of_ones_own_need_not_be_in_a_public_store(tmp_path: Path) -> None:
    root = dataclasses.replace(pinned(tmp_path / "r.pem", sign("Private Root", ca=True)), own=True)
    (found,) = stores.check(Manifest((root,)), NOW, 30)
    assert found.problems == () and "not in certifi" in found.notes


@pytest.mark.parametrize(
    "text", ["", "nothing", "trust_anchors {", "CKA_CLASS x", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"]
)
def test_what_is_no_root_store_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(BadInput, match="x is not a root store that is known here"):
        root_stores.read(tmp_path / "x")
