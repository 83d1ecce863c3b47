# The module `tls` of a virtual board: the Unix port's, as far as the account of the C heap (c_heap.py) has room for it.
#
# A TLS socket that does not fit is refused as on the chip, with ENOMEM. A handshake that does not fit is let begin and then
# cannot verify the chain, which Mbed TLS puts as "not correctly signed": it gets a context without the device's roots. Once
# the radio is out of reach, reading and writing fail as lwIP's sockets do: with a negative number.
import errno
import io
import select

import c_heap
import network
import tls as _real
from tls import *  # noqa: F403 - the constants, and whatever else a release has

_POLL, _GET_FILENO = 3, 10  # MP_STREAM_POLL, MP_STREAM_GET_FILENO
_ABORTED = -113  # ECONNABORTED of the chip's C library


class SSLContext:
    def __init__(self, protocol):
        c_heap.need("tls_context")
        self._protocol = protocol
        self._real = _real.SSLContext(protocol)
        self._identity = self._suites = None

    def load_cert_chain(self, certificate, key):
        self._identity = (certificate, key)
        self._real.load_cert_chain(certificate, key)

    def load_verify_locations(self, anchors):
        self._real.load_verify_locations(anchors)

    def get_ciphers(self):
        return self._real.get_ciphers()

    def set_ciphers(self, suites):
        self._suites = suites
        self._real.set_ciphers(suites)

    @property
    def verify_mode(self):
        return self._real.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._real.verify_mode = mode

    @property
    def verify_callback(self):
        return self._real.verify_callback

    @verify_callback.setter
    def verify_callback(self, callback):
        self._real.verify_callback = callback

    def wrap_socket(self, sock, **how):
        c_heap.need("tls_socket")
        context = self._real if c_heap.touch("tls_handshake") else self._starved()
        try:
            return SSLSocket(context.wrap_socket(sock, **how), sock)
        except BaseException:
            c_heap.give_back("tls_socket")
            raise

    def _starved(self):
        # Its only anchor is the device's own certificate, so that no server's chain ends at one.
        if not self._identity:
            raise OSError(errno.ENOMEM)
        context = _real.SSLContext(self._protocol)
        context.load_cert_chain(*self._identity)
        context.load_verify_locations(self._identity[0])
        if self._suites:
            context.set_ciphers(self._suites)
        context.verify_mode = self._real.verify_mode
        context.verify_callback = self._real.verify_callback
        return context


class SSLSocket(io.IOBase):
    def __init__(self, real, sock):
        self._real = real
        self._sock = sock
        self._error = 0
        self._shaken = False  # hands
        self._waits = False  # in a handshake that cannot go on before the server has said something

    def ioctl(self, request, events):
        # As Mbed TLS's own: who wants to write in a handshake waits for what is to be read. A socket that is always
        # writable would be tried again without end, so poll must not look at the descriptor alone.
        if request != _POLL:
            return -errno.EINVAL if request == _GET_FILENO else 0
        if self._error:
            return events
        poll = select.poll()
        poll.register(self._sock, select.POLLIN if self._waits else events)
        found = poll.poll(0)
        if not found:
            return 0
        return found[0][1] & ~select.POLLIN | select.POLLOUT if self._waits else found[0][1]

    def read(self, *size):
        return self._try(self._real.read, *size)

    def readinto(self, *buffer):
        return self._try(self._real.readinto, *buffer)

    def readline(self, *size):
        return self._try(self._real.readline, *size)

    def write(self, data, *size):
        count = self._try(self._real.write, data, *size)
        self._waits = count is None and not self._shaken
        if count:
            self._shaken = True
            c_heap.take("tls_session")  # the handshake is over
        return count

    def _try(self, call, *arguments):
        if not self._error and network.out():
            self._error = _ABORTED
            self._sock.close()  # which wakes whoever waits for it
        if self._error:
            raise OSError(self._error)
        try:
            return call(*arguments)
        except (OSError, ValueError):
            self._free()
            raise

    def setblocking(self, flag):
        self._real.setblocking(flag)

    def cipher(self):
        return self._real.cipher()

    def close(self):
        self._free()
        self._real.close()

    def _free(self):
        c_heap.give_back("tls_socket")
        c_heap.give_back("tls_session")
