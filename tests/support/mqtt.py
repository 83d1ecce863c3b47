"""A plain MQTT client with a device's certificate, for what no device under test would do."""

import queue
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from rootlet.files import write_secret
from rootlet.pki import keys
from rootlet.pki.identity import DeviceIdentity
from rootlet.sandbox.sandbox import Sandbox


class MqttClient:
    """Connects on entering the context. ``sni`` False sends no server name."""

    def __init__(
        self,
        sandbox: Sandbox,
        identity: DeviceIdentity,
        directory: Path,
        *,
        client_id: str | None = None,
        sni: bool = True,
        clean: bool = True,
        protocol: MQTTProtocolVersion = paho.MQTTv311,
    ) -> None:
        self._sandbox, self._sni = sandbox, sni
        self.client_id = identity.thing if client_id is None else client_id
        clean_session = clean if protocol == paho.MQTTv311 else None
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            self.client_id,
            clean_session=clean_session,
            protocol=protocol,
            reconnect_on_failure=False,
        )
        self.connected, self.gone = threading.Event(), threading.Event()
        self.session_present = False
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._acknowledged: queue.Queue[int] = queue.Queue()
        certificate, key = directory / f"{identity.thing}.crt", directory / f"{identity.thing}.key"
        chain = [identity.certificate, *identity.issuers]
        certificate.write_bytes(b"".join(entry.public_bytes(Encoding.PEM) for entry in chain))
        write_secret(key, keys.pem(identity.key))
        context = ssl.create_default_context(cafile=str(sandbox.root_pem))
        context.load_cert_chain(certificate, key)
        context.check_hostname = sni
        self.paho.tls_set_context(context)
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = lambda *_: self.gone.set()
        self.paho.on_message = lambda _, __, message: self.messages.put((message.topic, bytes(message.payload)))
        self.paho.on_publish = lambda *_: self._acknowledged.put(1)
        self.paho.on_subscribe = lambda *_: self._acknowledged.put(1)

    def _on_connect(self, _client: object, _data: object, flags: paho.ConnectFlags, code: object, _more: object) -> None:
        self.session_present = flags.session_present
        if code == 0:
            self.connected.set()
        else:
            self.gone.set()

    def __enter__(self) -> Self:
        # Without a host name no SNI is sent: an address is none (RFC 6066 §3).
        self.paho.connect("localhost" if self._sni else "127.0.0.1", self._sandbox.facts.mqtt_port)
        self.paho.loop_start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def is_on(self, timeout: float = 5) -> bool:
        """Whether it was let in: a CONNACK, or else the connection ends."""
        while timeout > 0:
            if self.connected.wait(0.05):
                return True
            if self.gone.is_set():
                return False
            timeout -= 0.05
        return False

    def may(self, act: str, topic: str, payload: bytes = b"x", *, retain: bool = False) -> bool:
        """Whether the server takes a QoS 1 "publish" or a "subscribe", or else ends the connection."""
        if act == "publish":
            self.paho.publish(topic, payload, qos=1, retain=retain)
        else:
            self.paho.subscribe(topic, qos=1)
        for _ in range(100):
            try:
                self._acknowledged.get(timeout=0.05)
            except queue.Empty:
                if self.gone.is_set():
                    return False
            else:
                return True
        raise TimeoutError(f"{act} {topic}: no answer")
