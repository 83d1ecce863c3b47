"""The network between board and cloud: real sockets to the board, whose bytes travel in simulated time."""

import contextlib
import selectors
import socket
import struct
from collections.abc import Callable

from campaign.months.broker import Broker, Client
from campaign.months.events import SECOND, Events

LATENCY = 0.04  # seconds, one way
EAI_FAIL = 202  # what lwIP says of a name that nobody knows
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
_NTP_1900 = 2208988800


class TimeServer:
    """Answers SNTP with what ``says`` makes of the true Unix seconds; None: it does not answer."""

    def __init__(self) -> None:
        self.says: Callable[[float], float | None] = lambda now: now
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]


class Network:
    """``route`` is "open", "refused" (RST) or "deaf" (no answer to SYN); ``wrote`` says that the board has got something.

    ``latency`` is in seconds, one way; ``fragment`` bytes a segment towards the board, 0 for whatever comes. A ``stalled``
    network carries nothing and forgets nothing. ``radio`` is the status of who tries to join, 0 while it is in reach.
    A host name in ``names`` is the cloud's; of others only the time servers' resolve.
    """

    def __init__(self, events: Events, broker: Broker, true_time: Callable[[], float]) -> None:
        self.events, self.broker, self._true_time = events, broker, true_time
        self.latency, self.fragment, self.stalled, self.radio, self.route = LATENCY, 0, False, 0, "open"
        self.dns_fails, self.dns_delay = False, 0.0
        self.wrote = False
        self.servers = {"first.example": TimeServer(), "second.example": TimeServer()}
        self.names: set[str] = set()
        self._links: list[_Link] = []
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        for server in self.servers.values():
            self._selector.register(server.socket, selectors.EVENT_READ, lambda server=server: self._tell(server))
        self._refusing = socket.socket()
        self._refusing.bind(("127.0.0.1", 0))
        self._deaf = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._fillers = [socket.socket() for _ in range(4)]
        for filler in self._fillers:  # its queue is full from now on: the kernel drops every further SYN
            filler.setblocking(False)
            filler.connect_ex(self._deaf.getsockname())

    def close(self) -> None:
        self.forget_all()
        self._selector.close()
        for each in (self._listener, self._refusing, self._deaf, *self._fillers):
            each.close()
        for server in self.servers.values():
            server.socket.close()

    def resolve(self, host: str) -> int:
        """The loopback port that stands for a name, or lwIP's negative number of an error. Takes ``dns_delay``."""
        if self.dns_fails:
            return -EAI_FAIL
        if host in self.servers:
            return self.servers[host].port
        if host not in self.names:
            return -EAI_FAIL
        chosen = {"open": self._listener, "refused": self._refusing, "deaf": self._deaf}[self.route]
        port: int = chosen.getsockname()[1]
        return port

    def pump(self) -> None:
        """Take in all that the board has sent until now."""
        while ready := self._selector.select(0):
            for key, _ in ready:
                key.data()

    def cut(self) -> None:
        """Reset every connection there is, at both ends."""
        for link in list(self._links):
            link.client.end()
            link.close(reset=True)

    def forget_all(self) -> None:
        """The board is without power: its connections stay open at the cloud's end, and nobody is at theirs."""
        for link in list(self._links):
            link.close(reset=True)

    @property
    def carries(self) -> bool:
        return not (self.stalled or self.radio)

    def flow_again(self) -> None:
        """Deliver what was held back, once it is neither stalled nor out of reach."""
        for link in list(self._links):
            link.release()

    def drop(self, link: "_Link") -> None:
        self._links.remove(link)

    def watch(self, sock: socket.socket, action: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, action)

    def unwatch(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(sock)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        self._links.append(_Link(self, sock))

    def _tell(self, server: TimeServer) -> None:
        question, address = server.socket.recvfrom(512)

        def answer() -> None:
            now = server.says(self._true_time())
            if now is None or not self.carries:
                return
            seconds = int(now + _NTP_1900) & 0xFFFFFFFF
            reply = bytes([0x24, 2]) + bytes(22) + question[40:48] + bytes(8) + struct.pack("!II", seconds, 0)
            with contextlib.suppress(OSError):
                server.socket.sendto(reply, address)
                self.wrote = True

        self.events.after(2 * self.latency * SECOND, answer)


class _Link:
    """One TCP connection of the board, and the broker's client at its other end."""

    def __init__(self, network: Network, sock: socket.socket) -> None:
        self._network, self._sock = network, sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open = True
        self._free = [0, 0]  # when what was sent last arrives, up and down
        self._held: list[Callable[[], None]] = []
        self.client = Client(network.broker, self._send_down, self._hang_up)
        network.watch(sock, self._read)

    def close(self, *, reset: bool) -> None:
        """The board's end; with ``reset`` it sees a reset, else an end of the stream."""
        if not self._open:
            return
        self._open = False
        self._network.unwatch(self._sock)
        self._network.drop(self)
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()
        self._network.wrote = True

    def release(self) -> None:
        held, self._held = self._held, []
        for action in held:
            action()

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._travel(0, lambda: self.client.feed(data))
        else:
            self._network.unwatch(self._sock)
            self._travel(0, self._ended_by_the_board)

    def _ended_by_the_board(self) -> None:
        self.client.end()
        self.close(reset=False)

    def _send_down(self, data: bytes) -> None:
        size = self._network.fragment or len(data)
        for at in range(0, len(data), size):
            self._travel(1, lambda piece=data[at : at + size]: self._write(piece))  # type: ignore[misc]

    def _hang_up(self) -> None:
        self._travel(1, lambda: self.close(reset=False))

    def _write(self, data: bytes) -> None:
        if self._open:
            with contextlib.suppress(OSError):
                self._sock.sendall(data)
                self._network.wrote = True

    def _travel(self, way: int, action: Callable[[], None]) -> None:
        events, latency = self._network.events, int(self._network.latency * SECOND)
        self._free[way] = max(self._free[way] + (1000 if self._network.fragment else 0), events.now + latency)
        events.at(self._free[way], lambda: action() if self._network.carries else self._held.append(action))
