"""The cloud's side of MQTT, without sockets: sessions that last, QoS 1, keep-alive, and what it can be made to do wrong."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from paho.mqtt.client import topic_matches_sub
from rootlet import packets
from rootlet.advisor.chains import ServerChain
from rootlet.advisor.tls import TlsEnd, TlsFailed, TlsServer

from campaign.months.events import SECOND, Events


@dataclass
class Session:
    """What the broker keeps for a client between its connections."""

    filters: dict[str, int] = field(default_factory=dict)
    unacknowledged: dict[int, packets.Publish] = field(default_factory=dict)
    last: int = 0  # packet identifier

    @property
    def idle(self) -> bool:
        return bool(self.filters) and not self.unacknowledged


@dataclass
class Behaviour:
    """What the broker does; troubles change it while it runs."""

    mute: str = ""  # "all": it reads and says nothing; "accepted": the same once it has sent CONNACK
    suback: str = ""  # "withheld", or "empty": without codes
    rejects: bool = False  # it hangs up on CONNECT, as AWS IoT on a certificate that is not active
    denied: str = ""  # it hangs up on a PUBLISH to a topic that ends like this
    lifetime: float | None = None  # seconds after CONNACK at which the link dies


class Broker:
    """``arrived`` is (time, topic, payload) of each PUBLISH that came in, ``accepted`` the time of each CONNECT."""

    def __init__(self, events: Events, chain: ServerChain, on_arrival: Callable[[str, bytes], None]) -> None:
        self.events = events
        self.chain, self.on_arrival = chain, on_arrival
        self.behaviour = Behaviour()
        self.arrived: list[tuple[int, str, bytes]] = []
        self.session: Session | None = None
        self.client: Client | None = None
        self.accepted: list[int] = []  # when each CONNECT was accepted
        self.heard = -1  # when the device last sent an MQTT packet over an accepted connection

    @property
    def settled(self) -> bool:
        """Whether a device is online, with subscriptions, and the broker waits for nothing from it."""
        session = self.session
        return self.client is not None and not self.client.dead and session is not None and session.idle

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send to the device, now or once it is back; False: no session has a filter for it."""
        session = self.session
        if session is None or not any(topic_matches_sub(name, topic) for name in session.filters):
            return False
        session.last = session.last % 65535 + 1
        message = packets.Publish(topic, payload, 1, session.last)
        session.unacknowledged[session.last] = message
        if self.client:
            self.client.send(message)
        return True

    def steal(self) -> None:
        """Another client connects under the device's name, with a clean session: what was kept is gone."""
        self.session = None
        if self.client:
            self.client.end()


class Client:
    """One TLS connection. ``transmit`` takes the bytes for the device, ``hang_up`` ends the connection."""

    def __init__(self, broker: Broker, transmit: Callable[[bytes], None], hang_up: Callable[[], None]) -> None:
        self._broker = broker
        self._transmit, self._hang_up = transmit, hang_up
        self._tls = TlsServer(broker.chain, lambda *_: None)
        self._decoder = packets.Decoder()
        self._accepted = self._ended = False
        self.dead = False  # it was forgotten while the broker was mute, and stays so
        self._allowed = 0  # silence, microseconds
        self.began = self._last = broker.events.now

    def feed(self, data: bytes) -> None:
        """Bytes from the device have arrived."""
        if self._ended or self._mute():
            return
        try:
            heard = self._tls.feed(data)
            self._flush()
            for packet in self._decoder.feed(heard):
                if not self._ended:
                    self._take(packet)
        except (TlsFailed, TlsEnd, packets.MalformedPacket):
            self.end()

    def send(self, packet: packets.Packet | bytes) -> None:
        if self._ended or self._mute():
            return
        self._tls.send(packet if isinstance(packet, bytes) else packets.encode(packet))
        self._flush()

    def end(self, *, politely: bool = False) -> None:
        """The connection is over, by whomever."""
        if self._ended:
            return
        self._ended = True
        if self._broker.client is self:
            self._broker.client = None
        if politely:
            with contextlib.suppress(TlsFailed):
                self._tls.close()
                self._flush()
        self._hang_up()

    def _mute(self) -> bool:
        mute = self._broker.behaviour.mute
        self.dead = self.dead or mute == "all" or (mute == "accepted" and self._accepted)
        return self.dead

    def _flush(self) -> None:
        if data := self._tls.outgoing():
            self._transmit(data)

    def _take(self, packet: packets.Packet) -> None:
        broker, behaviour = self._broker, self._broker.behaviour
        self._last = broker.events.now
        if isinstance(packet, packets.Connect):
            self._accept(packet)
            return
        if not self._accepted or isinstance(packet, packets.Disconnect):
            self.end()
            return
        broker.heard = broker.events.now
        match packet:
            case packets.Publish():
                if behaviour.denied and packet.topic.endswith(behaviour.denied):
                    self.end(politely=True)
                    return
                broker.arrived.append((broker.events.now, packet.topic, packet.payload))
                broker.on_arrival(packet.topic, packet.payload)
                if packet.qos:
                    self.send(packets.Puback(packet.identifier))
            case packets.Puback():
                if broker.session:
                    broker.session.unacknowledged.pop(packet.identifier, None)
            case packets.Subscribe():
                self._subscribe(packet)
            case packets.Pingreq():
                self.send(packets.Pingresp())

    def _accept(self, packet: packets.Connect) -> None:
        broker, events = self._broker, self._broker.events
        if broker.behaviour.rejects:
            self.end(politely=True)
            return
        if broker.client:
            broker.client.end()
        present = broker.session is not None and not packet.clean_session
        if not present:
            broker.session = Session()
        broker.client = self
        broker.accepted.append(events.now)
        broker.heard = events.now
        self.send(packets.Connack(present))
        self._accepted = True
        assert broker.session is not None
        for message in broker.session.unacknowledged.values():
            self.send(packets.Publish(message.topic, message.payload, 1, message.identifier, duplicate=True))
        self._allowed = int(1.5 * packet.keep_alive * SECOND)
        events.after(self._allowed, self._look)
        if broker.behaviour.lifetime is not None:
            events.after(broker.behaviour.lifetime * SECOND, self.end)

    def _subscribe(self, packet: packets.Subscribe) -> None:
        assert self._broker.session is not None
        how = self._broker.behaviour.suback
        if how == "withheld":
            return
        self._broker.session.filters.update(packet.filters)
        if how == "empty":
            self.send(bytes((0x90, 2)) + packet.identifier.to_bytes(2, "big"))
        else:
            self.send(packets.Suback(packet.identifier, tuple(qos for _, qos in packet.filters)))

    def _look(self) -> None:
        # Section 3.1.2.10: who is silent for one and a half times the keep-alive is disconnected.
        if self._ended or self._mute():
            return
        silent = self._broker.events.now - self._last
        if silent >= self._allowed:
            self.end()
        else:
            self._broker.events.after(self._allowed - silent, self._look)
