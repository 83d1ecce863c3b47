# Stands for Mbed TLS. On a chip its objects lie in the GC heap and what they point to in the C heap: the ballast is what the
# structures of Mbed TLS 3.6 with MicroPython's configuration take there, in bytes (extmod/modtls_mbedtls.c).
import wire

PROTOCOL_TLS_CLIENT = 0
CERT_REQUIRED = 2
_CONTEXT = const(2048)
_SOCKET = const(512)


class SSLContext:
    def __init__(self, protocol):
        self._ballast = bytearray(_CONTEXT)
        self.verify_mode = CERT_REQUIRED
        self.verify_callback = None
        wire.tell("tls context")

    def load_verify_locations(self, der):
        pass

    def load_cert_chain(self, certificate, key):
        pass

    def get_ciphers(self):
        # As many as MicroPython 1.26.1 has for the ESP32, in as many bytes: 58, in 3,840.
        return ["TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384-%02d" % number for number in range(58)]

    def set_ciphers(self, names):
        self._ciphers = bytearray(4 * len(names))

    def wrap_socket(self, sock, server_hostname=None, do_handshake_on_connect=True):
        wire.tell("tls socket")
        return SSLSocket(self, sock)


class SSLSocket:
    def __init__(self, context, sock):
        self._ballast = bytearray(_SOCKET)
        self._context = context
        self._sock = sock
        self._shaken = False

    def readable(self):
        return wire.inbox.end > wire.inbox.start or wire.failing[0]

    def readinto(self, buffer):
        if wire.inbox.end > wire.inbox.start:
            return wire.inbox.take_into(buffer)
        return 0 if wire.failing[0] else None

    def write(self, data):
        if not self._shaken:
            self._shaken = True
            for depth in range(len(chain) - 1 if self._context.verify_callback else -1, -1, -1):
                self._context.verify_callback(bytes(chain[depth]), depth)  # as on a chip: a copy in the GC heap
            wire.tell("handshake")
        if not wire.failing[0]:
            wire.received(data)
        return len(data)

    def close(self):
        self._sock.close()


chain = []  # what the server shows: DER in bytearrays, its own certificate first
