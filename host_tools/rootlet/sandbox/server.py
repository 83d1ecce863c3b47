"""The sandbox's process: ministack's HTTP gateway and its mutual-TLS MQTT listener, both on loopback.

``python -m rootlet.sandbox.server SETTINGS`` (JSON) runs one for ``rootlet.sandbox.sandbox``.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rootlet.errors import BadInput
from rootlet.extras import require
from rootlet.files import make_private_directory, write_atomic
from rootlet.processes import die_with_parent
from rootlet.sandbox import chain as server_chain
from rootlet.sandbox import ministack_patch
from rootlet.sandbox.ministack_patch.keep_alive import SHORTEST
from rootlet.sandbox.ministack_patch.timeouts import MINUTE
from rootlet.sandbox.running import Facts

LOOPBACK = "127.0.0.1"
DOMAIN = "localhost"
"""The sandbox's domain: a name below localhost never leaves the machine (RFC 6761)."""


@dataclass(frozen=True)
class SandboxSettings:
    """The settings of a sandbox. Port 0 is any free port. ``state`` keeps registry and chain across restarts.

    A test may not want to wait for AWS's shortest times: a keep-alive below ``shortest_keep_alive`` seconds is lengthened to
    it, and a minute of a job's timeout has ``job_minute`` seconds.
    """

    region: str = "us-east-1"
    api_port: int = 0
    mqtt_port: int = 0
    state: str | None = None
    shortest_keep_alive: int = SHORTEST
    job_minute: float = MINUTE


def serve(settings: SandboxSettings, ready: Callable[[Facts], None]) -> None:
    """Run a sandbox until SIGINT, SIGTERM or SIGHUP; ``ready`` is called once it serves.

    Raises BadInput for a taken port, RootletError without the extra ``sandbox``.
    """
    require("sandbox", "the sandbox")
    with (
        _listen(settings.api_port, "--api-port") as api_socket,
        _listen(settings.mqtt_port, "--mqtt-port") as mqtt_socket,
        tempfile.TemporaryDirectory(prefix="rootlet-sandbox-") as scratch,
    ):
        state = Path(settings.state).resolve() if settings.state else None
        if state:
            make_private_directory(state)
            chain = server_chain.load_or_mint(state, settings.region, DOMAIN)
        else:
            chain = server_chain.mint(settings.region, DOMAIN)
        api_port, mqtt_port = api_socket.getsockname()[1], mqtt_socket.getsockname()[1]
        variables = ministack_patch.environment(
            settings.region, DOMAIN, api_port, mqtt_port, str(state / "ministack") if state else None
        )
        os.environ.update(variables)
        os.umask(0o077)  # all files that ministack writes contain keys
        public = Path(state or scratch)
        write_atomic(public / server_chain.ROOT, chain.root)
        write_atomic(public / server_chain.CHAIN, chain.sent)
        facts = _facts(settings.region, api_port, mqtt_port, public)
        asyncio.run(_serve(settings, chain, api_socket, mqtt_socket, lambda: ready(facts)))


def _listen(port: int, option: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise BadInput(
            f"cannot listen on {LOOPBACK}:{port}: {error.strerror}",
            hint=f"stop the program that uses the port, or choose another with {option} (0: any free port)",
        ) from None
    listener.listen(256)
    return listener


def _facts(region: str, api_port: int, mqtt_port: int, directory: Path) -> Facts:
    url = f"http://{LOOPBACK}:{api_port}"
    return Facts(
        endpoint=ministack_patch.endpoint(region, DOMAIN),
        mqtt_port=mqtt_port,
        api_url=url,
        region=region,
        root=str(directory / server_chain.ROOT),
        chain=str(directory / server_chain.CHAIN),
        environment={
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
    )


async def _serve(
    settings: SandboxSettings,
    chain: server_chain.ServerChain,
    api_socket: socket.socket,
    mqtt_socket: socket.socket,
    ready: Callable[[], None],
) -> None:
    from hypercorn.asyncio import serve as serve_http
    from hypercorn.config import Config

    stop, listening = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed; the state is saved, too
        loop.add_signal_handler(number, stop.set)
    application = ministack_patch.apply(
        chain,
        mqtt_socket,
        listening.set,
        settings.region,
        shortest_keep_alive=settings.shortest_keep_alive,
        minute=settings.job_minute,
    )
    config = Config()
    config.bind = [f"fd://{os.dup(api_socket.fileno())}"]
    config.loglevel = "WARNING"
    config.graceful_timeout = 1
    server = asyncio.create_task(serve_http(application, config, shutdown_trigger=stop.wait))
    waiting = asyncio.create_task(listening.wait())
    await asyncio.wait({server, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if listening.is_set():
        ready()
    waiting.cancel()
    await server


def _main() -> None:
    die_with_parent()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    settings = json.loads(sys.argv[1])
    ready_to = settings.pop("ready_fd")

    def ready(facts: Facts) -> None:
        with os.fdopen(ready_to, "w") as stream:
            json.dump(facts.as_dict(), stream)

    try:
        serve(SandboxSettings(**settings), ready)
    except BadInput as error:
        sys.exit(f"{error.what} ({error.hint})")


if __name__ == "__main__":
    _main()
