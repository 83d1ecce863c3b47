"""A TLS server that shows whatever chain a test wants, and remembers every byte of MQTT that a client gave it."""

import os
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.pki import keys
from rootlet.pki.certificates import PrivateKey
from rootlet.sandbox.chain import in_memory_file


class Impostor:
    """Serves on loopback; ``chain`` None means no TLS at all, and then ``greeting`` is what it says first.

    ``heard`` is what arrived inside TLS, or, without TLS, all that arrived. It never asks for a client certificate. A
    ``script`` takes over each connection after the handshake, with its number, from 1; the end of it closes the connection.
    ``adjust`` changes the TLS context: its versions, its ciphers.
    """

    def __init__(
        self,
        chain: list[x509.Certificate] | None,
        key: PrivateKey | None = None,
        greeting: bytes = b"",
        script: Callable[[socket.socket, int], None] | None = None,
        adjust: Callable[[ssl.SSLContext], None] | None = None,
    ) -> None:
        self.heard = bytearray()
        self.connections = 0
        self.heard_something = threading.Event()
        self._greeting = greeting
        self._script = script
        self._context = _context(chain, key) if chain and key else None
        if adjust and self._context:
            adjust(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection, self.connections), daemon=True).start()

    def _talk(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(10)
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            else:
                connection.sendall(self._greeting)
            if self._script:
                self._script(connection, number)
                return
            while data := connection.recv(4096):
                self.heard += data
                self.heard_something.set()
        except OSError:
            pass
        finally:
            connection.close()


def _context(chain: list[x509.Certificate], key: PrivateKey) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # what it shows may be weak: that is for the client to refuse
    sent = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    descriptor, path = in_memory_file(sent + keys.pem(key))
    try:
        context.load_cert_chain(path)
    finally:
        os.close(descriptor)
    return context
