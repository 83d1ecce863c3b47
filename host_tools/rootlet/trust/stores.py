"""The stores that may hold a root: the pinned manifest, certifi, and this machine's own trust store."""

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
from rootlet.trust.model import Certificate, parse, readable
from rootlet.trust.roots import Manifest, load_manifest
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
def certifi_roots() -> Mapping[str, bytes]:
    """certifi's roots: DER by SHA-256."""
    import certifi

    return _by_digest(Path(certifi.where()).read_bytes())


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
        root.fingerprint in certifi_roots(),
        None if system is None else root.fingerprint in system,
    )


@dataclass(frozen=True)
class Check:
    """One pinned root, compared with other stores. ``notes`` are not problems."""

    name: str
    days_left: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check(manifest: Manifest, at: dt.datetime, warn_days: int) -> list[Check]:
    """Each pinned root, compared with its file, certifi and the system's store. A changed file is a problem."""
    found = []
    for root in manifest.roots:
        problems, notes = [], []
        days = (root.not_after - at).days
        try:
            root.der()
        except RootletError as error:
            problems.append(error.what)
        if days < 0:
            problems.append(f"expired on {root.not_after:%Y-%m-%d}")
        elif days < warn_days:
            problems.append(f"expires in {number_of(days, 'day')}")
        if root.sha256 not in certifi_roots():
            problems.append("not in certifi: the root was withdrawn, or certifi is old")
        system = system_roots()
        if system is None:
            notes.append("this machine has no trust store to compare with")
        elif root.sha256 not in system:
            notes.append("not in this machine's trust store")
        found.append(Check(root.name, days, tuple(problems), tuple(notes)))
    return found


def missing_amazon_roots(manifest: Manifest) -> list[Certificate]:
    """Amazon's roots that certifi has and the manifest lacks."""
    known = {root.sha256 for root in manifest.roots}
    others = readable(der for digest, der in certifi_roots().items() if digest not in known)
    return [root for root in others if root.subject.find("O=Amazon") >= 0 or "Starfield Services" in root.subject]


def from_file(path: Path) -> list[Certificate]:
    """The certificates in a PEM or DER file. Raises BadInput."""
    from rootlet.files import read_input

    return parse(read_input(path, "certificate"), str(path))
