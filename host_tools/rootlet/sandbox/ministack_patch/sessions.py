"""The rules that end a connection, and the state that a session keeps."""

import asyncio
import hashlib
import logging
from typing import Any

MAX_PAYLOAD = 128 * 1024
"""The largest PUBLISH, in bytes (AWS IoT Core: message broker limits)."""

_CONNECT, _PUBLISH, _SUBSCRIBE = 1, 3, 8  # packet types, MQTT 3.1.1 §2.2.1
_log = logging.getLogger("rootlet.sandbox")


def apply(iot: Any, iot_data: Any) -> None:
    _limit_http_publish(iot_data)
    _replace_repeated_subscriptions(iot)
    iot._WSSession = _session_class(iot)
    _drop_the_deactivated(iot)
    _require_server_name(iot)


def _session_class(iot: Any) -> type:
    class Session(iot._WSSession):  # type: ignore[misc]
        async def handle_packet(self, kind: int, flags: int, body: bytes) -> bool:
            qos = flags >> 1 & 3
            if kind == _PUBLISH and (qos > 1 or self._payload_size(qos, body) > MAX_PAYLOAD):
                _log.warning("PUBLISH of %r refused: QoS %d, %d bytes in all", self._client_id, qos, len(body))
                return False
            before = set(self._sub_filters)
            goes_on: bool = await super().handle_packet(kind, flags, body)
            if kind == _SUBSCRIBE and not goes_on:
                self._forget(set(self._sub_filters) - before)
            elif kind == _SUBSCRIBE:
                latest = {name: key for key, name in self._sub_filters.items()}
                self._forget([key for key, name in self._sub_filters.items() if latest[name] != key])
            elif kind == _CONNECT and goes_on:
                denied = [key for key, name in self._sub_filters.items() if not self._may_subscribe(name)]
                for key in denied:
                    await iot.broker_unsubscribe(key)
                self._forget(denied)
            return goes_on

        def _may_subscribe(self, topic_filter: str) -> bool:
            allowed: bool = self._policy_allows("iot:Subscribe", f"topicfilter/{topic_filter}")
            return allowed

        def _forget(self, keys: Any) -> None:
            for key in keys:
                del self._sub_filters[key]
                self._sub_granted_qos.pop(key, None)
                if key in self._sub_ids:  # a refused packet has emptied it
                    self._sub_ids.remove(key)

        def _payload_size(self, qos: int, body: bytes) -> int:
            try:
                _, offset = iot._read_string(body, 0)
                offset += 2 if qos else 0
                if self.protocol_version == iot.MQTT_5:
                    _, offset = iot._decode_properties(body, offset)
            except (ValueError, IndexError):
                return 0  # malformed: the session itself refuses it
            return len(body) - int(offset)

    return Session


def _replace_repeated_subscriptions(iot: Any) -> None:
    subscribe = iot.broker_subscribe

    async def replace(
        account: str, region: str, topic_filter: str, *more: Any, client_id: str | None = None, **options: Any
    ) -> str:
        """Subscribe, and end the client's earlier subscription to the same filter (MQTT-3.8.4-3)."""
        key: str = await subscribe(account, region, topic_filter, *more, client_id=client_id, **options)
        if client_id is not None:
            subscribers = iot._subscriptions.get(iot._scoped_topic(account, region, topic_filter), set())
            earlier = {entry for entry in subscribers if entry.client_id == client_id and entry.subscription_id != key}
            subscribers -= earlier
        return key

    iot.broker_subscribe = replace


def _limit_http_publish(iot_data: Any) -> None:
    publish = iot_data._publish

    async def limited(topic: str, body: bytes, *more: Any) -> Any:
        if len(body) > MAX_PAYLOAD:
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
        for account, _, record in iot._mtls_active_registrations(certificate_id):
            sni_only = record.get("certificateMode") == "SNI_ONLY"
            if sni_only and (name is None or not iot._mtls_server_name_reaches(name, account)):
                _log.warning("certificate %s is SNI_ONLY, and the server name was %s: refused", certificate_id, name)
                await iot._mtls_close(writer)
                return
        await serve(reader, writer)

    iot._mtls_serve_conn = serve_connection
