"""What ``image build`` and ``emulate`` take where nothing is given: the sample application, and the running sandbox."""

import os
from pathlib import Path
from typing import Any

from rich.markup import escape

from rootlet.cli.output import err
from rootlet.errors import BadInput, RootletError

LOOPBACK = "127.0.0.1"


def configuration(path: Path | None, sandbox_root: Path | None) -> tuple[dict[str, Any], Path | None]:
    """The configuration of an image and the sandbox's root that it trusts: the file's, or those of the running sandbox.

    A root is only ever taken together with the sandbox's own endpoint. Raises BadInput.
    """
    from rootlet.board.config import load_config
    from rootlet.sandbox import running

    if path is not None:
        return load_config(path), sandbox_root
    sandbox = running.choose(os.environ)
    if sandbox is None:
        pointer = running.pointer(os.environ)
        why = f"{pointer} points elsewhere than at a sandbox" if pointer else "no sandbox is running"
        raise BadInput(
            f"there is no --config, and {why}",
            hint='write {"endpoint": "..."} into config.json, as rootlet cloud endpoint prints it; or: rootlet sandbox up',
        )
    err.print(f"using the sandbox at {sandbox.api_url}: its endpoint {sandbox.endpoint} port {sandbox.mqtt_port}")
    return {"endpoint": sandbox.endpoint, "port": sandbox.mqtt_port}, sandbox_root or Path(sandbox.root)


def application(path: Path | None) -> Path:
    """The application of an image: the one that is given, or the sample."""
    from rootlet.resources import FIRMWARE

    if path is None:
        err.print("using the sample application: it publishes the stream climate; --app takes your own")
    return path or FIRMWARE / "apps" / "sample"


def addresses(image: Path) -> dict[str, str]:
    """What DNS answers a virtual board whose image belongs to a sandbox: loopback. Says which sandbox, or that none runs."""
    from rootlet.board import inspect_image
    from rootlet.sandbox import running

    try:
        contents = inspect_image.inspect(inspect_image.read(image))
    except RootletError:
        return {}  # whatever it is, the board itself will say what it lacks
    config = contents.json_file("/config.json")
    endpoint, port = str(config.get("endpoint", "")), config.get("port", 8883)
    if not endpoint.endswith(".localhost"):
        return {}
    sandbox = running.serving(endpoint, port)
    if sandbox is None:
        _note(f"no sandbox serves {endpoint} port {port}", "start it: rootlet sandbox up")
    elif _root(Path(sandbox.root)) not in contents.files.values():
        _note(f"the sandbox at {sandbox.api_url} has another root than {image}", "build the image again")
    else:
        err.print(f"using the sandbox at {sandbox.api_url}: {endpoint} is {LOOPBACK}")
    return {endpoint: LOOPBACK}


def _root(path: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    from rootlet.pki.identity import load_certificates

    return load_certificates(path)[0].public_bytes(Encoding.DER)


def _note(what: str, hint: str) -> None:
    err.print(f"[bold yellow]note:[/] {escape(what)}")
    err.print(f"[bold]hint:[/] {escape(hint)}")
