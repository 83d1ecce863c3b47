"""``rootlet info``: which device is this?"""

import datetime as dt
from typing import Any

from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.board.connection import connected, restarted
from rootlet.cli.board.options import port_options
from rootlet.cli.options import json_option
from rootlet.cli.output import emit_json, out


@panels.command(
    epilog="""\b
Examples:
  rootlet info
  rootlet info --port /dev/ttyUSB1 --json
"""
)
@port_options
@json_option
def command(port: str | None, baud: int, as_json: bool) -> None:
    """Show which device a board is.

    It reads MAC address, thing, certificate and MicroPython. Nothing on the board changes.
    """
    from rootlet.board import inspect_board

    with connected(port, baud, even_encrypted=True) as chip:
        facts = inspect_board.info(chip)
        restarted(chip)
    if as_json:
        emit_json(facts)
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    identity = facts["identity"] or {}
    firmware = facts["firmware"]
    rows = {
        "mac": facts["mac"],
        "thing": identity.get("thing") or ("cannot be read" if facts["flash_encryption"] else "none"),
        "certificate ID": identity.get("certificate_id"),
        "valid until": identity and f"{identity['not_after']:%Y-%m-%d}",
        "issued by": identity.get("issuer"),
        "board": firmware.get("board"),
        "firmware": firmware and f"leaf {firmware.get('leaf')} on {firmware.get('micropython', 'an unknown MicroPython')}",
        "built": _when(firmware.get("built")),
        "roots": ", ".join(facts["roots"]),
        "state": ", ".join(facts["state"]),
    }
    for name, value in rows.items():
        if value:
            out.print(f"{name:<16} {escape(str(value))}")
    if firmware.get("sandbox_root"):
        out.print("[bold yellow]it trusts a sandbox root: not for production[/]")
    for problem in facts["problems"]:
        out.print(f"[yellow]problem[/]          {escape(problem)}")


def _when(built: object) -> str | None:
    return dt.datetime.fromtimestamp(built, dt.UTC).isoformat() if isinstance(built, int) else None
