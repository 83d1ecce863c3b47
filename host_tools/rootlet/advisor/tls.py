"""The server's side of TLS, without I/O: bytes in, bytes and events out.

It uses pyOpenSSL instead of the standard library, to observe alerts, present any certificate and request renegotiation.
"""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

from rootlet.advisor.chains import ServerChain

ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
    42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
    46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
    51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 90: "user_canceled",
    100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
    116: "certificate_required",
}  # fmt: skip
"""RFC 5246 §7.2, RFC 8446 §6."""

_CALLBACK_READ, _CALLBACK_ALERT = 0x04, 0x4000
_FATAL = 2
_PIECE = 65536

OnAlert = Callable[[bool, str, bool], None]
"""A callback for alerts: whether the device sent it, its name, whether it is fatal."""


class TlsFailed(Exception):  # noqa: N818 - reads as what it is
    """The handshake or the connection failed; the text is OpenSSL's reason."""


class TlsEnd(Exception):  # noqa: N818 - reads as what it is
    """The device sent close_notify."""


class TlsServer:
    """One connection's TLS. ``feed`` takes received bytes; ``outgoing`` returns those to send, after every other call."""

    def __init__(self, chain: ServerChain, on_alert: OnAlert, *, tls12_only: bool = False) -> None:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        if tls12_only:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate(chain.sent[0])
        for above in chain.sent[1:]:
            context.add_extra_chain_cert(above)
        context.use_privatekey(chain.key)
        # Any certificate is accepted: the advisor does not check whether it is registered.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(b"advisor")
        context.set_info_callback(self._inform)
        self._on_alert = on_alert
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()
        self.established = False

    def feed(self, data: bytes) -> bytes:
        """The device's data inside the TLS bytes ``data``. Raises TlsFailed, TlsEnd."""
        self._connection.bio_write(data)
        try:
            if not self.established:
                self._connection.do_handshake()
                self.established = True
        except SSL.WantReadError:
            return b""
        except SSL.Error as error:
            raise TlsFailed(_reason(error)) from None
        heard = b""
        while True:
            try:
                heard += self._connection.recv(_PIECE)
            except SSL.WantReadError:
                return heard
            except SSL.ZeroReturnError:
                if heard:
                    return heard  # the next feed, or the end of the stream, raises it again
                raise TlsEnd from None
            except SSL.Error as error:
                raise TlsFailed(_reason(error)) from None

    def send(self, data: bytes) -> None:
        """Send ``data`` in as few records as TLS allows, of 16 KiB each (RFC 5246 §6.2.1)."""
        self._connection.sendall(data)

    def close(self) -> None:
        """Send close_notify."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            return

    def renegotiate(self) -> None:
        """Send a HelloRequest (TLS 1.2)."""
        self._connection.renegotiate()
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return

    def outgoing(self) -> bytes:
        """The bytes to send now."""
        pieces = []
        while True:
            try:
                pieces.append(self._connection.bio_read(_PIECE))
            except SSL.WantReadError:
                return b"".join(pieces)

    def facts(self) -> dict[str, Any]:
        """The TLS version, the suite, and the common name of the device's certificate."""
        peer = self._connection.get_peer_certificate(as_cryptography=True)
        return {
            "version": self._connection.get_protocol_version_name(),
            "suite": self._connection.get_cipher_name(),
            "certificate": peer.subject.rfc4514_string() if peer else None,
        }

    @property
    def renegotiations(self) -> int:
        return self._connection.total_renegotiations()

    def _inform(self, _connection: SSL.Connection, where: int, code: int) -> None:
        if where & _CALLBACK_ALERT:
            name = ALERTS.get(code & 0xFF, f"alert {code & 0xFF}")
            self._on_alert(bool(where & _CALLBACK_READ), name, code >> 8 == _FATAL)


def _reason(error: SSL.Error) -> str:
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in entries) or type(error).__name__
