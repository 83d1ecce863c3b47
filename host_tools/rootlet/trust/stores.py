"""The stores that may hold a root: the pinned manifest, certifi, browsers' stores, and this machine's own."""

import datetime as dt
import hashlib
import shutil
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rootlet.errors import RootletError
from rootlet.trust import root_stores
from rootlet.trust.model import Certificate, parse, readable
from rootlet.trust.root_stores import RootStore, StoredRoot
from rootlet.trust.roots import Manifest, PinnedRoot, load_manifest
from rootlet.words import number_of

BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"), Path("/etc/ssl/cert.pem"))


def pinned(manifest: Manifest | None = None) -> dict[str, Certificate]:
    """Every pinned root that can be parsed, by its name in the manifest."""
    found = {}
    for root in (manifest or load_manifest()).roots:
        if read := readable([root.der()]):
            found[root.name] = read[0]
    return found


@cache
def certifi_store() -> RootStore:
    """certifi's bundle, which is Mozilla's store."""
    import certifi

    return root_stores.read(Path(certifi.where()), "certifi")


@cache
def system_roots() -> Mapping[str, bytes] | None:
    """This machine's trust store (p11-kit's, else the bundle of ca-certificates): DER by SHA-256; None without one."""
    data = _p11_kit() or next((bundle.read_bytes() for bundle in BUNDLES if bundle.is_file()), None)
    return _by_digest(data) if data else None


def _p11_kit() -> bytes | None:
    if not shutil.which("trust"):
        return None
    command = ["trust", "extract", "--format=pem-bundle", "--filter=ca-anchors", "--purpose=server-auth", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 and done.stdout else None


def _by_digest(pem: bytes) -> dict[str, bytes]:
    found = {}
    for block in pem.decode("utf-8", "replace").split("-----BEGIN CERTIFICATE-----")[1:]:
        der = ssl.PEM_cert_to_DER_cert("-----BEGIN CERTIFICATE-----" + block.partition("-----END CERTIFICATE-----")[0] + END)
        found[hashlib.sha256(der).hexdigest()] = der
    return found


END = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class Whereabouts:
    """The stores that hold a root. ``manifest`` is its name there; ``system`` is None where the machine has no store."""

    embedded: bool
    manifest: str | None
    certifi: bool
    system: bool | None

    def text(self) -> str:
        parts = ["embedded" if self.embedded else "not embedded"]
        parts.append(f"in certs/ as {self.manifest}" if self.manifest else "not in certs/")
        parts.append("in certifi" if self.certifi else "not in certifi")
        if self.system is not None:
            parts.append("in this machine's store" if self.system else "not in this machine's store")
        return ", ".join(parts)


def whereabouts(root: Certificate, embedded: Sequence[Certificate]) -> Whereabouts:
    """The stores that hold a root, which is found by its fingerprint."""
    names = {certificate.fingerprint: name for name, certificate in pinned().items()}
    system = system_roots()
    return Whereabouts(
        root in embedded,
        names.get(root.fingerprint),
        root.fingerprint in certifi_store().roots,
        None if system is None else root.fingerprint in system,
    )


@dataclass(frozen=True)
class Check:
    """One pinned root, compared with other stores. ``notes`` are not problems."""

    name: str
    days_left: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check(manifest: Manifest, at: dt.datetime, warn_days: int, more: Sequence[RootStore] = ()) -> list[Check]:
    """Each pinned root, compared with its file, certifi, ``more`` stores and the system's. A changed file is a problem."""
    found = []
    for root in manifest.roots:
        problems, notes = [], []
        days = (root.not_after - at).days
        try:
            certificate = next(iter(readable([root.der()])), None)
        except RootletError as error:
            problems.append(error.what)
            certificate = None
        if days < 0:
            problems.append(f"expired on {root.not_after:%Y-%m-%d}")
        elif days < warn_days:
            problems.append(f"expires in {number_of(days, 'day')}")
        for store in (certifi_store(), *more):
            wrong, remark = _compared(root, certificate, store)
            problems += wrong
            notes += remark
        system = system_roots()
        if system is None:
            notes.append("this machine has no trust store to compare with")
        elif root.sha256 not in system:
            notes.append("not in this machine's trust store")
        found.append(Check(root.name, days, tuple(problems), tuple(notes)))
    return found


def _compared(root: PinnedRoot, certificate: Certificate | None, store: RootStore) -> tuple[list[str], list[str]]:
    """What ``store`` says of a root: problems, and remarks."""
    there = store.roots.get(root.sha256)
    if there is not None:
        problems = [] if there.for_servers else [f"{store.name} does not trust it for servers"]
        if there.distrust_after:
            problems.append(f"{store.name} distrusts what it issues after {there.distrust_after:%Y-%m-%d}")
        return problems, []
    if certificate is not None:
        for other in store.roots.values():
            if text := _twin(certificate, other):
                return [f"not in {store.name}, which has {text}"], []
    if root.own:  # a private root is in no public store
        return [], [f"not in {store.name}"]
    return [f"not in {store.name}: the root was withdrawn, or {store.name} is old"], []


def _twin(certificate: Certificate, other: StoredRoot) -> str:
    """What another root has of this one: its key, or its name; empty where it has neither."""
    which = f"SHA-256 {other.sha256[:16]}…"
    if other.certificate is None:
        same = certificate.common_name in other.name.replace("CN=", "").split(", ")
        return f"another certificate of its name ({which})" if same else ""
    same_key = other.certificate.key_bytes == certificate.key_bytes
    if other.certificate.parsed.subject == certificate.parsed.subject:
        return (
            f"its key and name in another certificate ({which}): reissued"
            if same_key
            else f"another key of its name ({which})"
        )
    return f"its key under the name {other.certificate.subject} ({which}): renamed" if same_key else ""


def missing_amazon_roots(manifest: Manifest, more: Sequence[RootStore] = ()) -> list[str]:
    """The names of Amazon's roots that certifi or ``more`` stores have and the manifest lacks."""
    known = {root.sha256 for root in manifest.roots}
    found = {
        entry.sha256: entry.certificate.common_name if entry.certificate else entry.name
        for store in (certifi_store(), *more)
        for entry in store.roots.values()
        if entry.sha256 not in known
        and ("O=Amazon" in (whole := entry.certificate.subject if entry.certificate else entry.name)
             or "Starfield Services" in whole or whole.startswith("Amazon Root"))
    }  # fmt: skip
    return list(found.values())


def from_file(path: Path) -> list[Certificate]:
    """The certificates in a PEM or DER file. Raises BadInput."""
    from rootlet.files import read_input

    return parse(read_input(path, "certificate"), str(path))
