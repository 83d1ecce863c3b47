"""What a device does when its endpoint's chain moves to another root: the Unix port, an image as it would be burned.

Each image embeds one root for ECDSA chains and one for RSA chains, as Amazon Root CA 3 and 1 are by default.
"""

import dataclasses
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.pki import keys
from rootlet.pki.authority import Authority
from rootlet.trust import own_roots
from rootlet.trust.model import Certificate
from rootlet.trust.roots import PinnedRoot
from support.chains import HOST, WILDCARD
from support.defects import Signed, sign
from support.device import BuiltDevice, fault_line
from support.impostor import Impostor


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pinned(directory: Path, name: str, root: Signed) -> PinnedRoot:
    path = directory / f"{name}.pem"
    path.write_bytes(root.certificate.public_bytes(Encoding.PEM))
    return own_roots.pin(path, Certificate(root.certificate.public_bytes(Encoding.DER)).fingerprint)


def chain(top: Signed, kind: str) -> tuple[Signed, Signed]:
    """The server's certificate and its intermediate, of this kind of key, below a root."""
    between = sign(f"{kind} M01", top, ca=True, path_length=0, key=rsa_key() if kind == "RSA" else None)
    return sign("server", between, names=[WILDCARD], key=rsa_key() if kind == "RSA" else None), between


def adding(directory: Path, leaf: Signed, between: Signed) -> Callable[[ssl.SSLContext], None]:
    """Give a server a second chain, as an AWS endpoint has."""
    path = directory / "second.pem"
    path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (leaf, between)) + keys.pem(leaf.key))
    return lambda context: context.load_cert_chain(path)


@pytest.fixture(scope="module")
def roots() -> dict[str, Signed]:
    return {
        "ec": sign("Old EC Root", ca=True),
        "rsa": sign("Old RSA Root", ca=True, key=rsa_key()),
        "new": sign("New EC Root", ca=True),
    }


@pytest.fixture
def device(tmp_path: Path, authority: Authority, roots: dict[str, Signed]) -> BuiltDevice:
    embedded = [pinned(tmp_path, name, roots[name]) for name in ("ec", "rsa")]
    device = BuiltDevice(tmp_path, authority.issue("sensor-1"), {"endpoint": HOST}, resolve={HOST: "127.0.0.1"})
    return dataclasses.replace(device, roots=embedded)


@contextmanager
def serving(
    device: BuiltDevice, first: tuple[Signed, ...], second: tuple[Signed, Signed] | None = None
) -> Iterator[Impostor]:
    adjust = adding(device.directory, *second) if second else None
    with Impostor([one.certificate for one in first], first[0].key, adjust=adjust) as server:
        device.config = {"endpoint": HOST, "port": server.port}
        yield server


def test_with_both_chains_the_ecdsa_root_is_used(device: BuiltDevice, roots: dict[str, Signed]) -> None:
    with serving(device, chain(roots["ec"], "ECDSA"), chain(roots["rsa"], "RSA")) as server, device.boot() as board:
        board.wait_for("tls: trusted Old EC Root < ECDSA M01 <")
        assert server.heard_something.wait(20)


def test_an_endpoint_that_gives_up_ecdsa_is_trusted_by_the_rsa_root(device: BuiltDevice, roots: dict[str, Signed]) -> None:
    with serving(device, chain(roots["rsa"], "RSA")) as server, device.boot() as board:
        board.wait_for("tls: trusted Old RSA Root < RSA M01 <")
        assert server.heard_something.wait(20)


def test_a_new_root_that_an_embedded_one_cross_signed_is_trusted(device: BuiltDevice, roots: dict[str, Signed]) -> None:
    cross = sign("New EC Root", roots["ec"], ca=True, key=roots["new"].key)
    with serving(device, (*chain(roots["new"], "ECDSA"), cross)) as server, device.boot() as board:
        board.wait_for("tls: trusted Old EC Root < New EC Root < ECDSA M01 <")
        assert server.heard_something.wait(20)


def test_a_new_root_is_not_trusted_though_the_rsa_chain_did_not_move_until_it_is_embedded(
    device: BuiltDevice, roots: dict[str, Signed]
) -> None:
    """The server chooses: it has an ECDSA chain for who offers ECDSA, and the device does not ask again without."""
    moved = chain(roots["new"], "ECDSA")
    with serving(device, moved, chain(roots["rsa"], "RSA")) as server, device.boot() as board:
        assert "New EC Root" in fault_line(board, "tls-untrusted-root")
        board.wait_for(r"backoff: .* attempt 2")
        assert not server.heard
    device.flash.unlink()
    prepared = dataclasses.replace(device, roots=[*device.roots, pinned(device.directory, "new", roots["new"])])
    with serving(prepared, moved, chain(roots["rsa"], "RSA")) as server, prepared.boot() as board:
        board.wait_for("tls: trusted New EC Root < ECDSA M01 <")
        assert server.heard_something.wait(20)
