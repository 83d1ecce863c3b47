"""A real mosquitto: devices come in over mutual TLS, the tests look on through a port without."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.enums import CallbackAPIVersion
from rootlet.files import write_secret
from rootlet.pki import keys
from rootlet.pki.authority import Authority

from .chains import make_chain

BINARY = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(BINARY is None, reason="mosquitto is not installed (apt-get install mosquitto)")


class Mosquitto:
    """On loopback, in ``directory``. ``port`` is for devices of ``authority``, ``plain_port`` for ``Watcher``."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        chain = make_chain()
        self.root = directory / "root.crt"
        self.root.write_bytes(chain.root.public_bytes(Encoding.PEM))
        self.port, self.plain_port = _free_port(), _free_port()
        sent = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain.sent)
        (directory / "server.pem").write_bytes(sent)
        write_secret(directory / "server.key", keys.pem(chain.key))
        (directory / "clients.crt").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        settings = [
            "per_listener_settings true",
            f"user {_user()}",
            "max_inflight_messages 100",
            "max_queued_messages 0",
            f"listener {self.port} 127.0.0.1",
            f"certfile {directory}/server.pem",
            f"keyfile {directory}/server.key",
            f"cafile {directory}/clients.crt",
            "require_certificate true",
            "use_identity_as_username true",
            "allow_anonymous false",
            "set_tcp_nodelay true",
            f"listener {self.plain_port} 127.0.0.1",
            "allow_anonymous true",
        ]
        self._config = directory / "mosquitto.conf"
        self._config.write_text("\n".join(settings) + "\n")
        self.log = directory / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert BINARY is not None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([BINARY, "-c", str(self._config)], stdout=log, stderr=log)
        _wait_for_port(self.plain_port, self.log)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


class Watcher:
    """Sees every message that reaches the broker: ``messages`` is (topic, parsed payload) in the order of arrival."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, Any]] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._note
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.subscribe("#", qos=1)
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.loop_stop()
        self._client.disconnect()

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def on(self, ending: str) -> list[Any]:
        """The payloads on topics that end like this, so far."""
        with self._changed:
            return [payload for topic, payload in self.messages if topic.endswith(ending)]

    def wait_for(self, ready: Callable[[], Any], timeout: float = 30) -> Any:
        """Wait until ``ready()`` is true, asked again at each message; return it."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (found := ready()):
                left = deadline - time.monotonic()
                assert left > 0, f"{timeout:g} s passed; seen {self.messages[-5:]}"
                self._changed.wait(min(left, 0.5))
        return found

    def _note(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            payload = json.loads(message.payload)
        except ValueError:
            payload = message.payload
        with self._changed:
            self.messages.append((message.topic, payload))
            self._changed.notify_all()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _user() -> str:
    import getpass

    return getpass.getuser()  # as root, mosquitto would change to a user who cannot read the key


def _wait_for_port(port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("mosquitto did not start:\n" + log.read_text())
