"""A TLS server that staples an OCSP response: Python's ``ssl`` has no function for that, pyOpenSSL has."""

import contextlib
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from cryptography import x509
from OpenSSL import SSL
from rootlet.pki.certificates import PrivateKey


class Stapler:
    """Serves on loopback, one handshake a connection. ``port`` is where."""

    def __init__(self, chain: Sequence[x509.Certificate], key: PrivateKey, response: bytes) -> None:
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_privatekey(key)
        self._context.use_certificate(chain[0])
        for issuer in chain[1:]:
            self._context.add_extra_chain_cert(issuer)
        self._context.set_ocsp_server_callback(lambda _connection, _data: response)
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
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain, contextlib.suppress(SSL.Error):
                connection = SSL.Connection(self._context, plain)
                connection.set_accept_state()
                connection.do_handshake()
                connection.recv(1)
