"""The rules that end a connection, and the state that a session keeps."""

import asyncio
import hashlib
import logging
import time
from collections import deque
from typing import Any, Self

from rootlet import packets
from rootlet.sandbox.ministack_patch import deciding, keep_alive, limits, mqtt5, shares

_CONNECT, _PUBLISH, _PUBACK, _SUBSCRIBE = 1, 3, 4, 8  # packet types, MQTT 3.1.1 §2.2.1
_PROTOCOL = b"\x00\x04MQTT"
_LEVEL, _KEEP_ALIVE = 6, slice(8, 10)  # in the body of a CONNECT
_IDENTIFIER_REJECTED = {4: 2, 5: 0x85}  # by protocol level: CONNACK return code, §3.2.2.3; reason code of MQTT 5
_QUOTA_EXCEEDED = 0x97  # DISCONNECT reason code, MQTT 5 §3.14.2.1
_LENGTH_BYTES = 4  # of the remaining length at most, §2.2.3
_NO_PACKET = (0, 0, b"")  # of the forbidden type 0
_FROM_SERVERS = {
    *(packets.Connack, packets.Pubrec, packets.Pubrel, packets.Pubcomp),
    *(packets.Suback, packets.Unsuback, packets.Pingresp),
}
_log = logging.getLogger("rootlet.sandbox")


def apply(iot: Any, iot_data: Any, shortest_keep_alive: int) -> None:
    _limit_http_publish(iot_data)
    _subscribe_once(iot)
    iot._WSSession = _session_class(iot, shares.apply(iot), shortest_keep_alive)
    _drop_the_deactivated(iot)
    _require_server_name(iot)


class StoredFilter(str):
    """A topic filter of a stored session, with the QoS that was granted to it; ministack stores the text only."""

    __slots__ = ("qos",)
    qos: int

    def __new__(cls, text: str, qos: int) -> Self:
        stored = super().__new__(cls, text)
        stored.qos = qos
        return stored


def _session_class(iot: Any, groups: shares.Shares, shortest_keep_alive: int) -> type:
    class Session(iot._WSSession):  # type: ignore[misc]
        _policy_context: Any

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._held: deque[tuple[str, bytes, int, bytes, float]] = deque()  # as ministack queues messages
            self._heard = asyncio.get_running_loop().time()
            self._publishes, self._bytes = limits.Rate(limits.PUBLISHES), limits.Rate(limits.THROUGHPUT)
            self._watch: asyncio.Task[None] | None = None

        async def handle_packet(self, kind: int, flags: int, body: bytes) -> bool:
            self._heard = asyncio.get_running_loop().time()
            await asyncio.sleep(self._bytes.borrow(len(body)))
            try:
                if not self._takes(kind, flags, body):
                    return True
            except (packets.MalformedPacket, limits.OverLimit) as why:
                await self._refuse(why, kind)
                return False
            before = set(self._sub_filters)
            goes_on: bool = await super().handle_packet(kind, flags, body)
            if kind == _SUBSCRIBE:
                latest = {name: key for key, name in self._sub_filters.items()}
                keep = set(latest.values()) if goes_on else before
                self._forget([key for key in self._sub_filters if key not in keep])
            elif kind == _PUBACK:
                await self._release()
            elif kind == _CONNECT and goes_on:
                await self._begin(int.from_bytes(body[_KEEP_ALIVE]))
            if goes_on and kind in (_CONNECT, _SUBSCRIBE):
                await groups.joined(self.account_id, self.region, self._client_id)
            return goes_on

        def _takes(self, kind: int, flags: int, body: bytes) -> bool:
            """Whether the packet is looked at; AWS leaves some unanswered. Raises MalformedPacket, OverLimit."""
            packet = self._read(kind, flags, body)
            if packet is not None:
                limits.check(packet, self._sub_filters.values())
            if kind == _PUBLISH and not self._publishes.take():
                _log.warning("a PUBLISH of %r is discarded: more than %d a second", self._client_id, limits.PUBLISHES)
                return False
            if isinstance(packet, packets.Subscribe) and any(qos > 1 for _, qos in packet.filters):
                _log.warning("a SUBSCRIBE of %r asks for QoS 2 and is not answered", self._client_id)
                return False
            return True

        async def _begin(self, asked: int) -> None:
            """What a CONNECT that was accepted begins: the watch, and the subscriptions of a stored session."""
            self._watch = asyncio.create_task(self._end_when_silent(keep_alive.patience(asked, shortest_keep_alive)))
            for key, name in self._sub_filters.items():
                if isinstance(name, StoredFilter):
                    self._sub_filters[key], self._sub_granted_qos[key] = str(name), name.qos
            denied = [key for key, name in self._sub_filters.items() if not self._may_subscribe(name)]
            for key in denied:
                await iot.broker_unsubscribe(key)
            self._forget(denied)

        def _connack_properties(self, assigned_client_id: str | None) -> list[tuple[int, object]]:
            found = dict(super()._connack_properties(assigned_client_id))
            return list((found | {iot.PROP_SHARED_SUBSCRIPTION_AVAILABLE: 1}).items())

        def _read(self, kind: int, flags: int, body: bytes) -> packets.Packet | None:
            """The packet, if it can be limited. Raises MalformedPacket; of MQTT 5, ministack itself checks what it reads."""
            if bool(self._client_id) == (kind == _CONNECT):
                raise packets.MalformedPacket(f"type {kind}, where the first packet and no other is a CONNECT (section 3.1)")
            version: int = self.protocol_version
            if kind == _CONNECT and body.startswith(_PROTOCOL) and len(body) > _LEVEL:
                version = body[_LEVEL]
            if version == iot.MQTT_5:
                self.protocol_version: int = version
                return mqtt5.read(iot, kind, flags, body)
            if version != iot.MQTT_311:
                return None  # refused by name
            packet = packets.decode(kind << 4 | flags, body)
            if type(packet) in _FROM_SERVERS:
                raise packets.MalformedPacket(f"{packets.name_of(packet)} is for servers to send, or of QoS 2")
            return packet

        async def _refuse(self, why: packets.MalformedPacket | limits.OverLimit, kind: int) -> None:
            _log.warning("%r is disconnected: %s", self._client_id, why)
            self._forced_disconnect_reason = "CLIENT_ERROR"
            if isinstance(why, packets.IdentifierRejected | limits.IdentifierOverLimit):
                code = _IDENTIFIER_REJECTED[self.protocol_version]
                await self.send_bytes(iot._make_connack(return_code=code, protocol_version=self.protocol_version))
            elif self.protocol_version == iot.MQTT_5 and kind != _CONNECT:
                await self.send_bytes(iot._make_disconnect(_QUOTA_EXCEEDED))

        def _take_packet(self) -> tuple[int, int, bytes] | None:
            if len(self._buffer) > _LENGTH_BYTES and all(byte & 0x80 for byte in self._buffer[1 : _LENGTH_BYTES + 1]):
                return _NO_PACKET
            taken: tuple[int, int, bytes] | None = super()._take_packet()
            return taken

        async def _end_when_silent(self, seconds: float) -> None:
            await keep_alive.silence(seconds, lambda: self._heard)
            _log.warning("%r was silent for %g s, 1.5 times its keep-alive: disconnected", self._client_id, seconds)
            self._forced_disconnect_reason = "MQTT_KEEP_ALIVE_TIMEOUT"
            await self._send({"type": "websocket.close"})
            await self.cleanup()  # the close may wait for an answer of a peer that is gone; the will does not

        async def cleanup(self) -> None:
            if self._watch is not None and self._watch is not asyncio.current_task():
                self._watch.cancel()
            await super().cleanup()

        async def deliver_to_client(self, topic: str, payload: bytes, qos: int) -> None:
            message = (topic, payload, qos, iot._delivery_properties.get(), time.time())
            if self._cleaned_up:
                await self._deliver_after_the_end(*message)
            elif qos and len(self._in_flight) >= limits.UNACKNOWLEDGED:
                self._held.append(message)
            else:
                await super().deliver_to_client(topic, payload, qos)

        async def _deliver_after_the_end(self, topic: str, payload: bytes, qos: int, *more: Any) -> None:
            """Keep a message that was on its way when the connection ended, or give it to the session's next connection."""
            place = (self.account_id, self.region, self._client_id)
            stored = iot._persistent_sessions.get(place)
            if qos and self._persist_session and stored is not None:
                successor = iot._connected_clients.get(place, self)
                if successor is self:
                    stored.queued_messages.append((topic, payload, qos, *more))
                else:
                    await successor.deliver_to_client(topic, payload, qos)

        async def _release(self) -> None:
            while self._held and len(self._in_flight) < limits.UNACKNOWLEDGED:
                topic, payload, qos, properties, _ = self._held.popleft()
                token = iot._delivery_properties.set(properties)
                try:
                    await super().deliver_to_client(topic, payload, qos)
                finally:
                    iot._delivery_properties.reset(token)

        def _preserve_session(self) -> None:
            super()._preserve_session()
            stored = iot._persistent_sessions[self.account_id, self.region, self._client_id]
            granted = self._sub_granted_qos
            stored.subscriptions = [StoredFilter(name, granted[key]) for key, name in self._sub_filters.items()]
            for message in stored.in_flight.values():
                message.sent_at = float("-inf")  # due at once when the session resumes, not half a minute after it was sent
            stored.queued_messages[:0] = self._held
            self._held.clear()

        def _policy_allows(self, action: str, resource: str) -> bool:
            after = self._policy_context
            if action == "iot:Connect":
                self._policy_context = deciding.connecting(self)
            try:
                allowed: bool = super()._policy_allows(action, resource)
            finally:
                self._policy_context = after
            return allowed

        def _may_subscribe(self, topic_filter: str) -> bool:
            allowed: bool = self._policy_allows("iot:Subscribe", f"topicfilter/{topic_filter}")
            return allowed

        def _forget(self, keys: Any) -> None:
            for key in keys:
                del self._sub_filters[key]
                self._sub_granted_qos.pop(key, None)
                if key in self._sub_ids:  # a refused packet has emptied it
                    self._sub_ids.remove(key)

    return Session


def _subscribe_once(iot: Any) -> None:
    subscribe, matches = iot.broker_subscribe, iot._subscription_matches

    async def replace(
        account: str,
        region: str,
        topic_filter: str,
        deliver: Any,
        qos: int = 0,
        client_id: str | None = None,
        **more: Any,
    ) -> str:
        """Subscribe, and end the client's earlier subscription to the same filter (MQTT-3.8.4-3)."""
        if isinstance(topic_filter, StoredFilter):  # a session resumes: no SUBSCRIBE has come
            qos, more["retain_handling"] = topic_filter.qos, iot.RETAIN_HANDLING_SEND_NEVER
        key: str = await subscribe(account, region, topic_filter, deliver, qos, client_id=client_id, **more)
        if client_id is not None:
            subscribers = iot._subscriptions.get(iot._scoped_topic(account, region, topic_filter), set())
            earlier = {entry for entry in subscribers if entry.client_id == client_id and entry.subscription_id != key}
            subscribers -= earlier
        return key

    def match(topic_filter: str, topic: str) -> bool:
        # Asked of stored filters, whether to queue a message: only where both publisher and subscriber asked for QoS 1.
        return not (isinstance(topic_filter, StoredFilter) and not topic_filter.qos) and matches(topic_filter, topic)

    iot.broker_subscribe, iot._subscription_matches = replace, match


def _limit_http_publish(iot_data: Any) -> None:
    publish = iot_data._publish

    async def limited(topic: str, body: bytes, *more: Any) -> Any:
        if len(body) > limits.PAYLOAD:
            reason = "The payload exceeds the maximum size allowed"
            return iot_data.error_response_json("RequestEntityTooLargeException", reason, 413)
        return await publish(topic, body, *more)

    iot_data._publish = limited


def _drop_the_deactivated(iot: Any) -> None:
    handle = iot._handle_certificate

    def handle_certificate(method: str, path: str, body: bytes, query: dict[str, str]) -> Any:
        answer = handle(method, path, body, query)
        certificate_id = path.rpartition("/")[2]
        if method in ("PUT", "DELETE") and answer[0] == 200 and not iot._mtls_active_registrations(certificate_id):
            for session in list(iot._connected_clients.values()):
                if session.certificate_id == certificate_id:
                    asyncio.run_coroutine_threadsafe(session._send({"type": "websocket.close"}), iot._mtls_loop)
        return answer

    iot._handle_certificate = handle_certificate


def _require_server_name(iot: Any) -> None:
    serve = iot._mtls_serve_conn

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        iot._publish_source_ip.set(writer.get_extra_info("peername")[0])
        tls = writer.get_extra_info("ssl_object")
        certificate_id = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
        name = iot._mtls_server_names.get(tls)
        deciding.server_name.set(name)
        for account, _, record in iot._mtls_active_registrations(certificate_id):
            sni_only = record.get("certificateMode") == "SNI_ONLY"
            if sni_only and (name is None or not iot._mtls_server_name_reaches(name, account)):
                _log.warning("certificate %s is SNI_ONLY, and the server name was %s: refused", certificate_id, name)
                await iot._mtls_close(writer)
                return
        await serve(reader, writer)

    iot._mtls_serve_conn = serve_connection
