"""The device under test, and the endpoint's chains that it trusts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from rootlet.advisor import devices
from rootlet.advisor.chains import ROOTS, Chains
from rootlet.advisor.devices import DeviceUnderTest
from rootlet.board import mpy
from rootlet.board.config import load_config
from rootlet.errors import BadInput

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class DeviceSetup:
    """``address`` and ``port`` are where the endpoint listens; port 0: any free one. ``notes`` say how to run the device."""

    device: DeviceUnderTest
    chains: Chains
    address: str = LOOPBACK
    port: int = 0
    notes: tuple[str, ...] = ()
    policies: Sequence[Any] = ()
    """The device's policy documents, where they are known."""


def command(line: str) -> DeviceSetup:
    """A client that a command line starts. Raises BadInput."""
    if not line.strip():
        raise BadInput("--exec: the command line is empty", hint="give your client's; is a variable of the shell unset?")
    chains = Chains.mint(["localhost", LOOPBACK])
    return DeviceSetup(devices.CommandDevice(line, chains), chains)


def virtual(image: Path | None, application: Path | None, config: Path | None) -> DeviceSetup:
    """A virtual board with ``image``, or with an image made of ``application``. Raises BadInput."""
    policies: Sequence[Any] = ()
    if image:
        flash, host, thing = devices.open_image(image)
    else:
        made_of = application or devices.QUALIFICATION
        flash, host, thing = devices.build_image(made_of, load_config(config) if config else {})
        policies = devices.own_policies(made_of, config)
    what = str(image or application or "leaf with its qualification application")
    mpy.check_virtual_board(flash, what)
    chains = Chains.mint([host])
    device = devices.VirtualDevice(devices.with_roots(flash, chains), host, thing, what)
    return DeviceSetup(device, chains, policies=policies)


def on_chip(image: Path, emulator: Path | None) -> DeviceSetup:
    """An emulated chip with ``image``; ``emulator`` is where that is installed, if not on PATH.

    Raises as ``chip_image.board`` does.
    """
    flash, host, thing = devices.open_image(image)
    chains = Chains.mint([host])
    return DeviceSetup(devices.ChipDevice(devices.with_roots(flash, chains), host, thing, str(image), emulator), chains)


def on_port(serial_port: str, baud: int, address: str, port: int, name: str | None) -> DeviceSetup:
    """A board with leaf on a serial port: it is redirected to us, and back at the end."""
    from rootlet.advisor.serial_device import SerialDevice

    host = name or address
    # Roots for this run alone: their keys are nowhere but in memory, and the board forgets the roots at the end.
    chains = Chains.mint([host])
    note = f"the board on {serial_port} is sent to {host} port {port}, and back again at the end"
    return DeviceSetup(SerialDevice(serial_port, host, chains, baud), chains, address, port, (note,))


def on_network(address: str, port: int, name: str | None, state: Path | None) -> DeviceSetup:
    """A device that somebody else runs. The roots are kept in ``state``, or in the user's data directory."""
    host = name or address
    directory = state or platformdirs.user_data_path("rootlet") / "advisor"
    chains = Chains.kept(directory, [host])
    notes = (
        f"endpoint  {host} port {port}",
        f"roots     {directory / ROOTS} (the RSA one alone: {directory / 'root-rsa.crt'})",
        "Give these to the device, with any certificate and key, and start it. Between cases it may go on running.",
    )
    return DeviceSetup(devices.NetworkDevice(host), chains, address, port, notes)
