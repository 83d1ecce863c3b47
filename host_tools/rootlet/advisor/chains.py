"""The endpoint's certificates: valid ones, shaped like Amazon's RSA and ECDSA chains, and invalid ones."""

import datetime as dt
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rootlet.files import make_private_directory, write_atomic, write_secret
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import Issuer, PrivateKey
from rootlet.pki.identity import load_certificates

Kind = Literal["rsa", "ec"]
KINDS: tuple[Kind, ...] = ("rsa", "ec")
ROOTS = "advisor-roots.crt"
HOST = "a1advisor-ats.iot.eu-west-1.localhost"
"""The endpoint in the virtual board's configuration, shaped like an account's."""

ROOT_DAYS = 3650
ROOT_AGE = dt.timedelta(days=60)
SERVER_DAYS = 90
USUAL = 3 * 1024
"""The size of the usual chain, in bytes: about what AWS IoT Core's RSA chain takes."""
LARGER = 1.2
"""The size of the large chain, compared with the usual one (Device Advisor, TLS Large Size Server Cert: 20% larger)."""
HUGE = 15 * 1024
"""The size of a chain that nearly fills a record, in bytes."""


_PAD_DOMAIN = ".example"
_PAD, _LONGEST_PAD = 48, 63
_LENGTHS = 16
"""Bytes by which the lengths of the structures around the names may grow with the first of them."""


@dataclass(frozen=True)
class ServerChain:
    """The certificates of a server: its own first, then those above it, without the root."""

    name: str
    sent: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of DER on the wire."""
        return sum(len(certificate.public_bytes(Encoding.DER)) for certificate in self.sent)


class Chains:
    """All chains of one endpoint, created on first use. ``names`` are its host names and addresses."""

    def __init__(self, roots: dict[Kind, Issuer], names: list[str]) -> None:
        self._roots = roots
        self._names = names
        self._keys: dict[Kind, PrivateKey] = {}
        self._between: dict[Kind, Issuer] = {}

    @classmethod
    def mint(cls, names: list[str]) -> Self:
        """Chains with new roots, whose keys are never written to disk."""
        return cls({kind: _root(kind) for kind in KINDS}, names)

    @classmethod
    def kept(cls, directory: Path, names: list[str]) -> Self:
        """Chains with the roots in ``directory`` (created where missing), so that a device continues to trust them."""
        make_private_directory(directory)
        roots: dict[Kind, Issuer] = {}
        for kind in KINDS:
            certificate, key = directory / f"root-{kind}.crt", directory / f"root-{kind}.key"
            if not (certificate.exists() and key.exists()):
                made = _root(kind)
                write_secret(key, keys.pem(made.key))
                write_atomic(certificate, made.certificate.public_bytes(Encoding.PEM))
            roots[kind] = Issuer(load_certificates(certificate)[0], keys.load(key))
        chains = cls(roots, names)
        write_atomic(directory / ROOTS, chains.roots_pem)
        return chains

    def root(self, kind: Kind) -> x509.Certificate:
        return self._roots[kind].certificate

    @property
    def roots_pem(self) -> bytes:
        return b"".join(self.root(kind).public_bytes(Encoding.PEM) for kind in KINDS)

    @cached_property
    def good(self) -> ServerChain:
        """The usual chain, with RSA keys as in Device Advisor."""
        return self._chain("good", "rsa", size=USUAL)

    @cached_property
    def ecdsa(self) -> ServerChain:
        return self._chain("good-ecdsa", "ec")

    @cached_property
    def unknown_root(self) -> ServerChain:
        """A chain whose root has the right name and another key."""
        stranger = Chains({"rsa": _root("rsa")}, self._names)
        return stranger._chain("unknown-root", "rsa", size=USUAL)

    @cached_property
    def wrong_name(self) -> ServerChain:
        return self._chain("wrong-name", "rsa", ["wrong-name.example"], size=USUAL)

    @cached_property
    def expired(self) -> ServerChain:
        return self._chain("expired", "rsa", size=USUAL, now=dt.datetime.now(dt.UTC) - dt.timedelta(days=9), days=1)

    @cached_property
    def large(self) -> ServerChain:
        return self._chain("large", "rsa", size=math.ceil(LARGER * self.good.size))

    @cached_property
    def huge(self) -> ServerChain:
        """A chain of 15 KiB, nearly the largest Certificate message that fits into one record."""
        return self._chain("huge", "rsa", size=HUGE)

    def _chain(
        self,
        name: str,
        kind: Kind,
        names: list[str] | None = None,
        *,
        size: int = 0,
        now: dt.datetime | None = None,
        days: int = SERVER_DAYS,
    ) -> ServerChain:
        """A chain of at least ``size`` bytes; exactly so many with RSA keys, whose signatures have one length."""
        if kind not in self._between:
            key = self._keys[kind] = _key(kind)
            between_key = _key(kind)
            between = certificates.intermediate(
                _name(f"Rootlet Advisor {kind.upper()} M01"),
                between_key.public_key(),
                self._roots[kind],
                days=ROOT_DAYS,
                now=dt.datetime.now(dt.UTC) - ROOT_AGE,
            )
            self._between[kind] = Issuer(between, between_key)
        key, issuer = self._keys[kind], self._between[kind]
        pads: list[str] = []
        while True:
            known = [*(names or self._names), *pads]
            server = certificates.server(known, key.public_key(), issuer, days=days, now=now)
            chain = ServerChain(name, (server, issuer.certificate), key)
            if chain.size >= size:
                return chain
            _pad(pads, size - chain.size)


def _root(kind: Kind) -> Issuer:
    key = _key(kind)
    past = dt.datetime.now(dt.UTC) - ROOT_AGE
    return Issuer(certificates.root(_name(f"Rootlet Advisor Root {kind.upper()}"), key, days=ROOT_DAYS, now=past), key)


def _pad(pads: list[str], missing: int) -> None:
    """Make ``pads`` longer by ``missing`` bytes of a certificate, or by less; the first call appends them.

    Host names serve as padding: each takes its length and two bytes, and a device must skip it.
    """
    more = max((missing - _LENGTHS) // (2 + _PAD), not pads)
    if more:
        pads += [f"{number:03}".rjust(_PAD - len(_PAD_DOMAIN), "x") + _PAD_DOMAIN for number in range(more)]
        return
    for place, name in enumerate(pads):
        grown = min(_LONGEST_PAD, len(name) + missing)
        pads[place] = name.rjust(grown, "x")
        missing -= grown - len(name)


def _key(kind: Kind) -> PrivateKey:
    return keys.generate("rsa-2048" if kind == "rsa" else "ec-p256")


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Rootlet Advisor")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common)])
