"""The trust anchors that an image may embed: Amazon's public roots, each pinned by the SHA-256 of its DER."""

import datetime as dt
import hashlib
import ssl
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rootlet import resources
from rootlet.errors import BadInput, RootletError
from rootlet.files import read_input
from rootlet.trust.model import parse

MANIFEST = "manifest.toml"


@dataclass(frozen=True)
class PinnedRoot:
    """One entry of the manifest. ``ski`` is the subject key identifier, hexadecimal with colons.

    ``own``: it is a project's, and not Amazon's (``trust.own_roots``).
    """

    name: str
    path: Path
    sha256: str
    key_type: str
    not_after: dt.datetime
    ski: str
    default: bool
    own: bool = False

    def der(self) -> bytes:
        """The certificate's DER, as a device embeds it. Raises RootletError where the file differs from its pin."""
        data = read_input(self.path, "root certificate")
        try:
            # Amazon's without an X.509 parser: Starfield's root has the serial number 0, which newer parsers refuse.
            der = parse(data, str(self.path))[0].der if self.own else ssl.PEM_cert_to_DER_cert(data.decode())
        except ValueError:
            raise RootletError(f"{self.path} is not a PEM certificate", hint=self._hint) from None
        digest = hashlib.sha256(der).hexdigest()
        if digest != self.sha256:
            raise RootletError(
                f"{self.path} is not the pinned {self.name}: its SHA-256 is {digest}, the manifest says {self.sha256}",
                hint=self._hint,
            )
        return der

    @property
    def _hint(self) -> str:
        return (
            "restore the file, or pin it anew: rootlet roots add"
            if self.own
            else "restore the file from git, or reinstall rootlet"
        )


@dataclass(frozen=True)
class Manifest:
    """All pinned roots, in the manifest's order."""

    roots: tuple[PinnedRoot, ...]

    def defaults(self) -> tuple[PinnedRoot, ...]:
        """The roots that every image embeds: one for RSA chains, one for ECDSA chains (AWS IoT), and the project's own."""
        return tuple(root for root in self.roots if root.default)

    def select(self, names: Iterable[str]) -> tuple[PinnedRoot, ...]:
        """The roots with these names. Raises BadInput for an unknown one."""
        known = {root.name: root for root in self.roots}
        chosen = []
        for name in names:
            if name not in known:
                raise BadInput(f"unknown root {name!r}", hint=f"choose from: {', '.join(known)}")
            chosen.append(known[name])
        return tuple(chosen)

    def embedded(self, names: Iterable[str]) -> tuple[PinnedRoot, ...]:
        """The roots of an image: those of every image, and those of these names. Raises BadInput for an unknown one."""
        return tuple(dict.fromkeys((*self.defaults(), *self.select(names))))


def load_manifest(directory: Path | None = None) -> Manifest:
    """The manifest, by default the one that ships with Rootlet. Certificates are read when they are used."""
    directory = directory or resources.CERTS
    document = tomllib.loads(read_input(directory / MANIFEST, "manifest of roots").decode())
    return Manifest(
        tuple(
            PinnedRoot(
                name=entry["name"],
                path=directory / entry["file"],
                sha256=entry["sha256"],
                key_type=entry["key_type"],
                not_after=entry["not_after"],
                ski=entry["ski"],
                default=entry["default"],
            )
            for entry in document["root"]
        )
    )
