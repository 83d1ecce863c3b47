"""A client that sends MQTT packets one by one, valid or not, over mutual TLS, and acknowledges nothing by itself."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.files import write_secret
from rootlet.packets import Connack, Connect, Decoder, Packet, encode
from rootlet.pki import keys
from rootlet.pki.identity import DeviceIdentity
from rootlet.sandbox.sandbox import Sandbox


class RawMqtt:
    """Connects TLS on entering the context; every wait ends after ``timeout`` seconds in TimeoutError."""

    def __init__(self, sandbox: Sandbox, identity: DeviceIdentity, directory: Path, timeout: float = 10) -> None:
        certificate, key = directory / "raw.crt", directory / "raw.key"
        certificate.write_bytes(
            b"".join(entry.public_bytes(Encoding.PEM) for entry in [identity.certificate, *identity.issuers])
        )
        write_secret(key, keys.pem(identity.key))
        self._context = ssl.create_default_context(cafile=str(sandbox.root_pem))
        self._context.load_cert_chain(certificate, key)
        self._port, self._timeout, self.client_id = sandbox.facts.mqtt_port, timeout, identity.thing
        self._decoder, self._received = Decoder(), list[Packet]()

    def __enter__(self) -> Self:
        plain = socket.create_connection(("127.0.0.1", self._port), self._timeout)
        self._socket = self._context.wrap_socket(plain, server_hostname="localhost")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def connect(self, *, clean: bool = True, keep_alive: int = 0) -> Connack:
        """The answer to a CONNECT under the thing's name."""
        self.send(Connect(self.client_id, keep_alive, clean))
        answer = self.receive()
        assert isinstance(answer, Connack), answer
        return answer

    def send(self, *packets: Packet | bytes) -> None:
        self._socket.sendall(b"".join(packet if isinstance(packet, bytes) else encode(packet) for packet in packets))

    def exchange(self, packet: Packet) -> Packet | None:
        self.send(packet)
        return self.receive()

    def receive_while(self, works: Callable[[], bool]) -> Packet | None:
        """As ``receive``, and calls ``works``, which must be true, every half a second until then."""
        self._socket.settimeout(0.5)
        try:
            for _ in range(int(self._timeout / 0.5)):
                try:
                    return self.receive()
                except TimeoutError:
                    assert works()
            raise TimeoutError
        finally:
            self._socket.settimeout(self._timeout)

    def receive(self) -> Packet | None:
        """The next packet; None where the server has ended the connection."""
        while not self._received:
            try:
                data = self._socket.recv(65536)
            except (ConnectionError, ssl.SSLEOFError):
                return None
            if not data:
                return None
            self._received += self._decoder.feed(data)
        return self._received.pop(0)
