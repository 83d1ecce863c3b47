"""The sandbox's server chain, shaped like Amazon's ECDSA chain: a root that is not sent, an intermediate, a server."""

import datetime as dt
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rootlet.files import write_atomic, write_secret
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import load_certificates
from rootlet.trust.own_roots import SANDBOX_NAME

ROOT, CHAIN, KEY = "root.crt", "server-chain.crt", "server.key"
DAYS = 397  # the lifetime that browsers and Amazon allow; the sandbox's root has the same
RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True)
class ServerChain:
    """PEM: ``sent`` is server certificate and intermediate, as a server sends them; clients trust ``root``."""

    root: bytes
    sent: bytes
    key: bytes = field(repr=False)


def mint(region: str, domain: str) -> ServerChain:
    """A new chain for every AWS-shaped endpoint of ``region`` under ``domain``, and for loopback.

    The keys of root and intermediate are discarded: nobody can sign with them again.
    """
    root_key, intermediate_key, key = keys.generate(), keys.generate(), keys.generate()
    root = certificates.root(_name(SANDBOX_NAME), root_key, days=DAYS)
    between = certificates.intermediate(
        _name("Rootlet Sandbox ECDSA M01"), intermediate_key.public_key(), Issuer(root, root_key), days=DAYS
    )
    names = [f"*.iot.{region}.{domain}", "localhost", "127.0.0.1", "::1"]
    server = certificates.server(names, key.public_key(), Issuer(between, intermediate_key), days=DAYS)
    sent = server.public_bytes(Encoding.PEM) + between.public_bytes(Encoding.PEM)
    return ServerChain(root.public_bytes(Encoding.PEM), sent, keys.pem(key))


def load_or_mint(directory: Path, region: str, domain: str) -> ServerChain:
    """The chain in ``directory``, so that images built with it stay valid; a new one where it is missing or expires soon."""
    if (directory / KEY).exists() and (directory / CHAIN).exists() and (directory / ROOT).exists():
        server = load_certificates(directory / CHAIN)[0]
        alternative = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        fresh = server.not_valid_after_utc > dt.datetime.now(dt.UTC) + RENEW_BEFORE
        if fresh and f"*.iot.{region}.{domain}" in alternative.get_values_for_type(x509.DNSName):
            return ServerChain(*((directory / name).read_bytes() for name in (ROOT, CHAIN, KEY)))
    chain = mint(region, domain)
    write_secret(directory / KEY, chain.key)
    write_atomic(directory / CHAIN, chain.sent)
    write_atomic(directory / ROOT, chain.root)
    return chain


def in_memory_file(data: bytes) -> tuple[int, str]:
    """The open descriptor and the path of a file in memory: OpenSSL loads keys from paths only."""
    descriptor = os.memfd_create("rootlet", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    return descriptor, f"/proc/self/fd/{descriptor}"


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Rootlet Sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
