# A trusted stream, once it is there: how it was come by is tls.py.
import asyncio

from .faults import lost
from .log import log
from .modules import use


class Stream:
    """A verified TLS stream, non-blocking: readinto and write as asyncio tasks."""

    # Issuer and subject of each certificate that the server was trusted by, its own last. None: they were not looked at.
    chain: "tuple | list | None" = ()
    _trusted = False  # the handshake is done

    def __init__(self, sock, raw, host):
        self._sock = sock
        self._raw = raw
        self.host = host
        self._reader = asyncio.StreamReader(sock, {})
        self._writer = asyncio.StreamWriter(sock, {})

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
                log("tls", "trusted " + " < ".join([subject for _, subject in self.chain or ((0, self.host),)]))
        except ValueError as error:
            raise use("verdicts", "refusal", self, str(error))
        except OSError as error:
            if self._trusted:
                raise lost("writing", error)
            raise use("verdicts", "failure", self, error)

    def close(self):
        """Close both sockets, for a failed handshake has taken the raw one from the TLS socket. Raises nothing."""
        for sock in (self._sock, self._raw):
            try:
                sock.close()
            except OSError:
                pass
