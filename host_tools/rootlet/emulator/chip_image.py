"""Which emulated chip an image is for, and what it expects of the network around it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rootlet.board import inspect_image
from rootlet.board.config import load_schema
from rootlet.board.inspect_image import Contents
from rootlet.emulator.chip_board import ChipBoard, ChipSettings, find_emulator
from rootlet.errors import BadInput

_NTPTIME = "pool.ntp.org"  # what MicroPython's own ntptime asks


def board(
    path: Path,
    emulator: Path | None,
    resolve: Mapping[str, str],
    *,
    on_line: Callable[[str], None] | None = None,
    what: str | None = None,
    **settings: Any,
) -> ChipBoard:
    """Return the chip that the image is for, ready to be entered; ``settings`` are those of ``chip_board.ChipSettings``.

    ``what`` is the image's name in an error, where it is not its path.

    Raises BadInput for an image that cannot boot on a chip or never joins the emulator's network, and RootletError where
    no emulator is installed.
    """
    contents = inspect_image.inspect(inspect_image.read(path))
    name = what or str(path)
    chip = chip_of(contents, name)
    found = find_emulator(chip, emulator)
    check_network(contents, name, found.network)
    servers = time_servers(contents.json_file("/config.json"))
    return ChipBoard(path, found, ChipSettings(chip, resolve, servers, **settings), on_line)


def chip_of(contents: Contents, name: str) -> str:
    """The chip that the MicroPython in the image is for. Raises BadInput where there is none, or a damaged one."""
    found = contents.micropython
    if found is None or found.problems:
        why = "; ".join(found.problems) if found else "there is no MicroPython in it that could boot"
        raise BadInput(
            f"{name} cannot boot on a chip: {why}",
            hint="build it with rootlet image build --micropython FILE, or leave out --chip",
        )
    return found.chip


def check_network(contents: Contents, name: str, ssid: str) -> None:
    """Raise BadInput for an image of ours that would never join the emulator's access point."""
    config = contents.json_file("/config.json")
    networks = config.get("wifi")
    if not isinstance(networks, list) or "endpoint" not in config:
        return  # not one of ours, or its application brings the link up
    if not any(isinstance(entry, dict) and entry.get("ssid") == ssid and "password" not in entry for entry in networks):
        raise BadInput(
            f'{name}: config.json does not name the only network that the chip emulator has, "{ssid}" without a password',
            hint=f'add {{"ssid": "{ssid}"}} to "wifi" in config.json and build the image again',
        )


def time_servers(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the time servers that a device with this configuration may ask."""
    named = config.get("ntp", load_schema()["ntp"]["default"])
    return tuple(dict.fromkeys([*(name for name in named if isinstance(name, str)), _NTPTIME]))
