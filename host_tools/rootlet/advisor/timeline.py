"""The timeline: all events of a case in order, from which alone it is graded."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rootlet.advisor.settings import Settings
from rootlet.packets import Packet, name_of


@dataclass(frozen=True)
class Event:
    """``at`` is in seconds of the device's time since the case began; ``connection`` counts from 1, 0 is none.

    ``kind`` is one of:
    tcp (the device connected) · hello (its ClientHello: facts) · tls (handshake done: facts) · tls-failed (text)
    · alert-in, alert-out (text, fatal) · in, out (packet) · malformed (text) · closed (by: device or server; how)
    · renegotiated · note (an action or a timeout of the case; text)
    """

    at: float
    connection: int
    kind: str
    text: str = ""
    packet: Packet | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One connection's life. ``ended`` is when either side ended it; None where the case did."""

    connection: int
    began: float
    ended: float | None
    connect: float | None
    """When CONNECT came."""
    accepted: bool
    """Whether the server accepted the connection (CONNACK)."""


class Timeline:
    """Events in order. ``speed`` is that of the device's time; ``settings`` are what the case was told to ask for."""

    def __init__(self, clock: Callable[[], float], speed: float = 1, settings: Settings | None = None) -> None:
        self._clock = clock
        self.speed = speed
        self.settings = settings or Settings()
        self.over = False
        self.events: list[Event] = []

    def add(self, kind: str, connection: int = 0, text: str = "", *, packet: Packet | None = None, **facts: Any) -> Event:
        """Record an event. After the end of the case nothing is recorded."""
        event = Event(self._clock(), connection, kind, text, packet, facts)
        if not self.over:
            self.events.append(event)
        return event

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def received(self, kind: type[Packet] | None = None, connection: int | None = None) -> list[Event]:
        """Packets from the device."""
        return [
            event
            for event in self.of("in")
            if (kind is None or isinstance(event.packet, kind)) and connection in (None, event.connection)
        ]

    def sent(self, kind: type[Packet]) -> list[Event]:
        return [event for event in self.of("out") if isinstance(event.packet, kind)]

    def between(self, mark: str, marks: Sequence[str]) -> "Timeline | None":
        """What happened from the note ``mark`` to the next one of ``marks``; None without that note."""
        places = [place for place, event in enumerate(self.events) if event.kind == "note" and event.text in marks]
        began = next((place for place in places if self.events[place].text == mark), None)
        if began is None:
            return None
        part = Timeline(self._clock, self.speed, self.settings)
        part.events = self.events[began : next((place for place in places if place > began), None)]
        return part

    def attempts(self) -> list[Attempt]:
        """The device's connections, in order."""
        found = []
        for opened in self.of("tcp"):
            mine = [event for event in self.events if event.connection == opened.connection]
            ended = next((event.at for event in mine if event.kind in ("closed", "tls-failed")), None)
            connect = next((e.at for e in mine if e.kind == "in" and name_of_event(e) == "CONNECT"), None)
            accepted = any(event.kind == "out" and name_of_event(event) == "CONNACK" for event in mine)
            found.append(Attempt(opened.connection, opened.at, ended, connect, accepted))
        return found


def name_of_event(event: Event) -> str:
    return name_of(event.packet) if event.packet else event.kind
