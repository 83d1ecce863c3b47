# A trusted stream: DNS, TCP, then TLS with the chain, the host name and the dates verified. There is no way to ask for less.
import asyncio
import os
import select
import socket
import time

import tls

from . import heap, x509
from .faults import Fault, lost, number
from .log import log

_FATAL_ALERT = 0x7780  # as all error numbers here: without the sign
_EOF = 0x7280
_PROTOCOL = (_EOF, 0x7200, 0x7100, 0x6E00)  # also: invalid record, bad input, bad version
_IN_PROGRESS = (115, 119, 11)

# What mbedTLS says, and what it means. The texts are those of mbedTLS 3 (x509_crt.c).
_VERDICTS = (
    ("not correctly signed", "tls-untrusted-root"),
    ("does not match with the expected CN", "tls-hostname"),
    ("validity has expired", "tls-expired"),
    ("starts in the future", "tls-not-yet-valid"),
)


class Stream:
    """A verified TLS stream, non-blocking: readinto and write as asyncio tasks. chain is what the server was trusted by."""

    def __init__(self, sock, raw, host, chain):
        self._sock = sock
        self._raw = raw
        self._host = host
        self._reader = asyncio.StreamReader(sock, {})
        self._writer = asyncio.StreamWriter(sock, {})
        self.chain = chain
        self._trusted = False  # the handshake is done

    async def readinto(self, buffer):
        """Read some bytes into the buffer; how many, 0 at the end. Raises OSError."""
        # First what mbedTLS has decrypted already: where poll looks at the socket alone (the Unix port), it would not tell.
        count = self._sock.readinto(buffer)
        if count is None:
            while count is None:  # what came may have been less than a TLS record
                count = await self._reader.readinto(buffer)
            return count
        await asyncio.sleep_ms(0)  # a server that never stops talking must not starve the other tasks
        return count

    async def write(self, data):
        """Write all of data; one TLS record where it fits. The first write also does the handshake. Raises Fault."""
        try:
            self._writer.write(data)
            await self._writer.drain()
            if not self._trusted:
                self._trusted = True
                log("tls", "trusted " + " < ".join([subject for _, subject in self.chain]))
        except ValueError as error:
            raise self._refusal(str(error))
        except OSError as error:
            raise lost("writing", error) if self._trusted else self._failure(error)

    def close(self):
        self._sock.close()
        self._raw.close()  # which a failed handshake has taken from the TLS socket

    def _refusal(self, verdict):
        # mbedTLS reports a failed verification as ValueError, with one sentence a defect.
        for text, word in _VERDICTS:
            if text in verdict:
                return Fault(word, self._explain(word))
        return Fault("tls-failed", " ".join(verdict.split()))

    def _explain(self, word):
        issuer, subject = self.chain[0] if self.chain else ("?", "?")  # the certificate nearest to the root
        if word == "tls-hostname":
            return "the server's certificate is for %s, not for %s" % (self.chain[-1][1], self._host)
        if word == "tls-expired":
            return "a certificate in the chain of %s has expired" % self._host
        if word == "tls-not-yet-valid":
            return "a certificate in the chain of %s is not valid yet" % self._host
        if issuer == subject:
            what = "signed itself" if len(self.chain) == 1 else "is a root that is not embedded"
            return "the server's %s %s" % (subject, what)
        if len(self.chain) == 1:
            return "the server sent no intermediate: %s, the issuer of its certificate, is no embedded root" % issuer
        return "the server's chain ends at %s, which is no embedded root" % issuer

    def _failure(self, error):
        code = number(error)
        if heap.refused(code):
            return heap.out_of_memory("the handshake failed (%d)" % code)
        if self.chain and code in (_FATAL_ALERT, _EOF, 32, 104):
            return Fault("device-certificate-refused", "the server broke the handshake off after it saw our certificate")
        if code == _FATAL_ALERT:
            return Fault("tls-failed", "%s refused the handshake with an alert before it showed a certificate" % self._host)
        if code in _PROTOCOL or (not self.chain and code in (32, 104)):
            return Fault("tls-no-tls", "%s does not answer with TLS (%d)" % (self._host, code))
        return Fault("tls-failed", "the handshake with %s failed (%s)" % (self._host, error))


def context(anchors, credentials):
    """A TLS client context that trusts anchors (DER certificates) and nothing else.

    An endpoint chooses its chain by the suites offered (AWS IoT: ECDSA chains end at Amazon Root CA 3, RSA chains at 1), so
    only suites are offered whose chain can end at an anchor.
    """
    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    kinds = []
    for der in anchors:
        made.load_verify_locations(der)  # of `tls`: bytes; of `ssl` the same position would be a file
        kinds.append("ECDSA" if x509.is_ec(der) else "RSA")
    made.set_ciphers(sorted([name for name in made.get_ciphers() if _fit(name, kinds)]))  # AES-128 first: it is faster
    try:
        made.load_cert_chain(credentials.certificate, credentials.key)
    except (ValueError, OSError) as error:
        raise Fault("credentials", "certificate or key cannot be used (%s)" % error)
    if made.verify_mode != tls.CERT_REQUIRED:  # type: ignore[attr-defined]  # the stubs lack it
        raise Fault("tls-failed", "this firmware's TLS does not verify the server")
    return made


def _fit(suite, kinds):
    # Forward secrecy and authenticated encryption: what AWS IoT's own policies ask for since 2016.
    for kind in kinds:
        if suite.startswith("TLS-ECDHE-%s-WITH-AES-" % kind) and "GCM" in suite:
            return True
    return False


def anchors(directory="/roots"):
    """Names and DER of the embedded roots, one at a time. Raises Fault where there is none."""
    names = sorted(name for name in os.listdir(directory) if name.endswith(".der"))
    if not names:
        raise Fault("config", "no roots in " + directory)
    for name in names:
        with open(directory + "/" + name, "rb") as stream:
            yield name[:-4], stream.read()


async def connect(host, port, ssl_context, timeout):
    """Connect to the first address that answers; the handshake follows with the first write. Raises Fault."""
    try:
        # getaddrinfo has no timeout on ESP32: only the resolver's own retries bound it. Asked afresh at every attempt.
        addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError as error:
        raise _unless_memory(error, "dns", "%s has no address (%s)" % (host, error))
    fault = Fault("dns", host + " has no address")
    for address in addresses:
        try:
            sock = await _tcp(address, timeout)
        except OSError as error:
            fault = _unless_memory(error, "tcp", "%s port %d: %s" % (host, port, error))
            continue
        log("tcp", "connected")
        return _wrap(sock, host, ssl_context)
    raise fault


def _unless_memory(error, word, cause):
    return heap.out_of_memory(cause) if heap.refused(number(error)) else Fault(word, cause)


def _wrap(sock, host, ssl_context):
    fault = heap.shortage("TLS takes %d bytes" % heap.TLS, heap.TLS, heap.PIECE)
    if fault:  # a handshake that cannot end well would say something else
        sock.close()
        raise fault
    chain = []

    def remember(der, depth):
        # mbedTLS shows every certificate of the chain that it built, from the root's side to the server's own.
        chain.append(x509.names(der))
        return 0

    ssl_context.verify_callback = remember
    try:
        wrapped = ssl_context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except OSError as error:
        sock.close()
        raise _unless_memory(error, "tls-failed", "TLS could not start (%s)" % error)
    return Stream(wrapped, sock, host, chain)


def _no_delay(sock):
    # Else a second publish waits for the TCP acknowledgement of the first (Nagle). Not every port has the option.
    try:
        sock.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    except (OSError, ValueError):
        pass


async def _tcp(address, timeout):
    sock = socket.socket(address[0], address[1], address[2])
    try:
        sock.setblocking(False)
        _no_delay(sock)
        try:
            sock.connect(address[-1])
        except OSError as error:
            if number(error) not in _IN_PROGRESS:
                raise
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        deadline = time.ticks_add(time.ticks_ms(), timeout * 1000)
        while True:
            events = poll.poll(0)
            if events:
                if events[0][1] & (select.POLLERR | select.POLLHUP):
                    raise OSError("refused")
                return sock
            if time.ticks_diff(deadline, time.ticks_ms()) <= 0:
                raise OSError("no answer in %d s" % timeout)
            await asyncio.sleep_ms(10)
    except BaseException:
        sock.close()
        raise
