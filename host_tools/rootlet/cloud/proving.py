"""Proves that AWS IoT Core lets a device connect under a certificate: by the policies, and by a CONNECT.

A TLS handshake alone proves little: AWS decides by the policies when CONNECT arrives (AWS IoT: policy actions, iot:Connect).
"""

import contextlib
import datetime as dt
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cryptography import x509

from rootlet.cloud import registration
from rootlet.cloud.explain import explain
from rootlet.errors import RootletError
from rootlet.files import write_atomic
from rootlet.pki.identity import CERTIFICATE, KEY, DeviceIdentity
from rootlet.policies.rendering import will_topic
from rootlet.trust import stores
from rootlet.trust.fetch import Offer, fetch
from rootlet.trust.judge import judge
from rootlet.trust.model import Certificate

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

RECORD = "proof.json"
_UNTOUCHED = "the old certificate is untouched"
_TIMEOUT = 10.0  # seconds

How = Literal["connect", "policies"]


@dataclass(frozen=True)
class Proof:
    """Where CONNECT is sent: to ``address`` (None: the one in DNS) and ``port`` of the account's endpoint.

    ``root`` is trusted beside Amazon's: a sandbox's. ``application`` names the topic of the last will. Without ``connect``
    the policies alone are the proof, for a machine that does not reach the endpoint.
    """

    address: str | None = None
    port: int = 8883
    root: Path | None = None
    application: str = "leaf"
    connect: bool = True


def prove(iot: "IoTClient", new: DeviceIdentity, place: Path, proof: Proof) -> How:
    """How the certificate in ``place``, the directory of ``new``, was proved. Raises RootletError where it was not."""
    check_accepted(iot, new.certificate, proof.application)
    if not proof.connect:
        return "policies"
    host = registration.endpoint(iot)
    roots = [*stores.pinned().values(), *(stores.from_file(proof.root) if proof.root else [])]
    _judge_server(host, proof, roots)
    will = will_topic(proof.application, new.thing)
    session = _Session(host, proof, _context(roots, place), new.thing)
    # A device with leaf does not subscribe again where it finds a session: an empty one of ours would leave it deaf.
    if not session.connect(will=will, clean=False):
        session.connect(will=None, clean=True)
    return "connect"


def check_accepted(iot: "IoTClient", certificate: x509.Certificate, application: str = "leaf") -> None:
    """Raise RootletError unless AWS IoT would accept a device with this certificate: the decision of ``explain``."""
    found = explain(iot, certificate, dt.datetime.now(dt.UTC), application)
    wrong = [rule for rule in found.rules if rule.ok is False]
    if wrong:
        raise RootletError(
            f"the account would refuse the new certificate {found.certificate_id}: {wrong[0].name}: {wrong[0].text}",
            hint=f"{wrong[0].hint or 'see: rootlet device explain'}; {_UNTOUCHED}",
        )


def record(place: Path, new: DeviceIdentity, how: How) -> None:
    """Keep in ``place``, the directory of ``new``, how its certificate was proved."""
    text = json.dumps({"certificate": new.certificate_id, "proved_by": how, "at": f"{dt.datetime.now(dt.UTC):%FT%TZ}"})
    write_atomic(place / RECORD, text.encode() + b"\n")


def is_recorded(place: Path, new: DeviceIdentity) -> bool:
    """Whether ``record`` was called for the certificate of ``new``."""
    try:
        found = json.loads((place / RECORD).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("certificate") == new.certificate_id


def _judge_server(host: str, proof: Proof, roots: list[Certificate]) -> None:
    # Only the account's own endpoint counts, so it is judged as a device would judge it, first.
    served = fetch(host, proof.port, Offer(), connect_to=proof.address)
    verdict = judge(served.chain, roots, host, dt.datetime.now(dt.UTC), served.message_size)
    if not verdict.ok:
        raise RootletError(
            f"the server that answers as {host} is not trusted: {verdict.broken[0].text}",
            hint=f"see: rootlet chain; for a sandbox give its root with --root; {_UNTOUCHED}",
        )


def _context(roots: list[Certificate], place: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and host name
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=b"".join(root.der for root in roots))
    context.load_cert_chain(place / CERTIFICATE, place / KEY)
    return context


@dataclass(frozen=True)
class _Session:
    """MQTT sessions of a thing, each only as long as CONNECT, CONNACK and DISCONNECT take."""

    host: str
    proof: Proof
    context: ssl.SSLContext
    thing: str

    def connect(self, *, will: str | None, clean: bool) -> bool:
        """Whether the server had a session of this client. Raises RootletError where it refuses the CONNECT."""
        with (
            self._refusal(),
            socket.create_connection(self._where(), _TIMEOUT) as plain,
            self.context.wrap_socket(plain, server_hostname=self.host) as stream,
        ):
            stream.sendall(_connect(self.thing, will, clean))
            answer = _exactly(stream, 4)
            if answer[:2] != b"\x20\x02" or answer[3]:
                raise ConnectionError(f"CONNACK {answer.hex()}" if answer else "it closed the connection")
            stream.sendall(b"\xe0\x00")  # DISCONNECT: the will is not published
            return bool(answer[2] & 1)
        raise AssertionError  # _refusal() never swallows

    def _where(self) -> tuple[str, int]:
        return self.proof.address or self.host, self.proof.port

    @contextlib.contextmanager
    def _refusal(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # ssl.SSLError and ConnectionError are OSErrors
            raise RootletError(
                f"{self.host} does not accept a CONNECT of {self.thing} under its new certificate: {error}",
                hint="run this again; where the device's application is not leaf, name it with --application; "
                f"where nothing here reaches port {self.proof.port}, --no-connect proves by the policies; {_UNTOUCHED}",
            ) from None


def _exactly(stream: ssl.SSLSocket, count: int) -> bytes:
    """``count`` bytes, or none where the connection ends before."""
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def _connect(client_id: str, will: str | None, clean: bool) -> bytes:
    """The CONNECT of ``leaf`` (MQTT 3.1.1 section 3.1): the will with QoS 1, retained."""
    flags = clean << 1 | (0x2C if will is not None else 0)
    fields = [client_id.encode(), *([will.encode(), b""] if will is not None else [])]
    payload = b"".join(len(field).to_bytes(2, "big") + field for field in fields)
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + b"\x00\x1e" + payload
    length, rest = b"", len(body)
    while True:
        length += bytes([rest % 128 | (0x80 if rest > 127 else 0)])
        rest //= 128
        if not rest:
            return b"\x10" + length + body
