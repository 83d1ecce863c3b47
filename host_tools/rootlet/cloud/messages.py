"""Messages to a device from the cloud's side: MQTT over WebSocket, signed with the user's AWS credentials (SigV4)."""

import contextlib
import json
import os
import queue
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import boto3
import paho.mqtt.client as paho
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from rootlet import aws_names
from rootlet.aws_names import Name
from rootlet.cloud.client import aws_errors, iot
from rootlet.cloud.registration import endpoint
from rootlet.errors import BadInput, RootletError
from rootlet.policies.rendering import check_application

T = TypeVar("T")

SERVICE = "iotdevicegateway"
_EXPIRES = 300  # seconds that the signature is valid; it is used at once


def send_command(thing: str, command: str, arguments: Any, *, application: str, timeout: float) -> dict[str, Any]:
    """The reply of a device to a command. ``timeout`` is in seconds. Raises RootletError."""
    aws_names.check(Name.THING, thing)
    check_application(application)
    identifier = secrets.token_hex(8)
    prefix = f"cmd/{application}/{thing}/"
    replies: queue.Queue[dict[str, Any]] = queue.Queue()

    def take(reply: Any) -> None:
        if isinstance(reply, dict) and reply.get("id") == identifier:
            replies.put(reply)

    deadline = time.monotonic() + timeout
    with listening(prefix + "response", take, timeout) as client:
        request = {"id": identifier, "command": command, "arguments": arguments}
        client.publish(prefix + "request", json.dumps(request), qos=1)
        return _get(replies, deadline, f"{thing} did not answer within {timeout:g} s")


@contextlib.contextmanager
def listening(topic: str, on_message: Callable[[Any], None], timeout: float = 10) -> Iterator[paho.Client]:
    """A context in which ``on_message`` gets every JSON message on ``topic``, on another thread. Raises RootletError.

    ``timeout`` is in seconds, for connecting and subscribing.
    """
    ready: queue.Queue[str] = queue.Queue()
    client = _client()

    def on_connect(_client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
        if reason.is_failure:
            ready.put(f"refused: {reason}")
        else:
            client.subscribe(topic, qos=1)  # after each reconnect, too, which paho does by itself

    def received(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        with contextlib.suppress(ValueError):
            on_message(json.loads(message.payload))

    client.on_connect = on_connect
    client.on_message = received
    client.on_subscribe = lambda *_: ready.put("")
    client.loop_start()
    try:
        if problem := _get(ready, time.monotonic() + timeout, "the cloud refused the connection"):
            raise RootletError(f"the connection to the cloud was {problem}", hint="check iot:Connect in your IAM policy")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def _get(answers: "queue.Queue[T]", deadline: float, otherwise: str) -> T:
    try:
        return answers.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise RootletError(otherwise, hint="check that the device is connected, or give a longer --timeout") from None


def _client() -> paho.Client:
    session = boto3.Session()
    credentials = session.get_credentials()
    if credentials is None or session.region_name is None:
        raise BadInput(
            "no AWS credentials or region found", hint="run aws configure, or export what rootlet sandbox up prints"
        )
    frozen = credentials.get_frozen_credentials()
    host = endpoint(iot())
    # The sandbox serves WebSockets on its HTTP port; the host name in the request is still the endpoint's.
    override = urllib.parse.urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    secure = override.scheme != "http"
    port = override.port or (443 if secure else 80)
    netloc = host if override.port is None else f"{host}:{port}"
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"rootlet-{secrets.token_hex(6)}",
        transport="websockets",
        protocol=MQTTProtocolVersion.MQTTv311,
    )
    if secure:
        client.tls_set()  # this machine's trust store; verification is on
    path = sign(host=netloc, region=session.region_name, credentials=frozen)
    client.ws_set_options(path=path, headers={"Host": netloc})
    with aws_errors():
        try:
            client.connect(override.hostname or host, port)
        except (OSError, paho.WebsocketConnectionError) as error:
            raise RootletError(
                f"cannot connect to {netloc}: {error}", hint="check the network and the AWS credentials"
            ) from None
    return client


def sign(*, host: str, region: str, credentials: Any) -> str:
    """The path of a WebSocket request that AWS IoT accepts (AWS IoT: protocols, MQTT over WSS).

    The session token of temporary credentials is added after signing, since the signature does not cover it.
    """
    request = AWSRequest("GET", f"https://{host}/mqtt")
    permanent = Credentials(credentials.access_key, credentials.secret_key)
    SigV4QueryAuth(permanent, SERVICE, region, expires=_EXPIRES).add_auth(request)
    path = urllib.parse.urlsplit(str(request.url))._replace(scheme="", netloc="").geturl()
    if credentials.token:
        path += "&X-Amz-Security-Token=" + urllib.parse.quote(credentials.token, safe="")
    return path
