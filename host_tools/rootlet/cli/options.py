"""The options that several groups share: one name, one meaning, one text."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from rootlet.errors import BadInput

Command = Callable[..., Any]

PATH = click.Path(path_type=Path)


class _SerialPort(click.ParamType[str]):
    name = "port"

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        from rootlet.board.console import check_port

        check_port(value)
        return str(value)


class _Application(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        from rootlet.policies.rendering import check_application

        check_application(str(value))
        return str(value)


class _Matching(click.ParamType[str]):
    """A text of a form."""

    def __init__(self, name: str, form: str, what: str) -> None:
        self.name = name
        self._form, self._what = re.compile(form), what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._form.fullmatch(str(value)):
            self.fail(f"{value!r} is not {self._what}.", param, ctx)
        return str(value)


class _Finite(click.FloatRange):
    """A number in a range, and a number: nan would pass every comparison."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


SERIAL_PORT = _SerialPort()
"""A serial port as pyserial names it. Converting raises BadInput."""
MAC = _Matching("mac", r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", "a MAC address, such as 24:0a:c4:12:34:56")
HEAP = _Matching("size", r"[1-9]\d{1,5}K|[1-9]\d{0,2}M", "a size, such as 96K or 1M")
APPLICATION = _Application()
SECONDS = _Finite(0, 86_400)
SOME_SECONDS = _Finite(0.1, 86_400)
MILLIMETRES = _Finite(1, 1000)
TCP_PORT = click.IntRange(1, 65_535)
UNIX_SECONDS = click.IntRange(0, 0xFFFF_FFFF)
DESCRIPTOR = click.IntRange(0, 1 << 20)


def finite(least: float, most: float) -> click.FloatRange:
    """The type of a number from ``least`` to ``most``."""
    return _Finite(least, most)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
address_option = click.option("--address", help="Connect to this address instead of the one in DNS.")
timeout_option = click.option(
    "--timeout", type=SOME_SECONDS, default=10.0, show_default=True, help="Seconds to wait for an answer."
)

_chip = click.option("--chip", is_flag=True, help="Boot the image's own MicroPython, in a chip emulator.")
_qemu = click.option(
    "--qemu", type=PATH, help="With --chip: the emulator, or its directory. [default: ROOTLET_QEMU, else PATH]"
)


def emulated_chip_options(command: Command) -> Command:
    """``--chip``, and where its emulator is installed."""
    return _chip(_qemu(command))


application_option = click.option(
    "--application",
    type=APPLICATION,
    default="leaf",
    show_default=True,
    help="The application's name in topics, as in config.json.",
)
bare_option = click.option("--bare", is_flag=True, help="Allow an image without MicroPython: no real board starts from it.")
confirm_option = click.option("--confirm", default="", metavar="MAC", help="The chip's MAC address: yes, this one.")
thing_name_option = click.option("--thing", help="Name the thing so, whatever the certificate's common name is.")
thing_type_option = click.option("--thing-type", help="The thing's type.")
attributes_option = click.option(
    "--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="An attribute of the thing; repeatable."
)
columns_option = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=HEADER",
    help="In a CSV with other headers: the column that holds NAME; repeatable.",
)
groups_option = click.option("--group", "groups", multiple=True, help="A thing group; repeatable.")


def baud_option(default: int) -> Callable[[Command], Command]:
    """``--baud``: 460,800 where flash is written, 115,200 where a console is read."""
    speed = click.IntRange(1, 10_000_000)
    return click.option("--baud", type=speed, default=default, show_default=True, help="Speed of the serial port.")


def board_option(**more: Any) -> Callable[[Command], Command]:
    """``--board``: a board's definition, by its name."""
    return click.option("--board", help="The board's name, as rootlet boards lists it.", **more)


flash_size_option = click.option(
    "--flash-size", type=int, metavar="MIB", help="The module's flash in MiB. [default: the board's usual size]"
)


def ca_option(**more: Any) -> Callable[[Command], Command]:
    """``--ca``: the CA that signs."""
    return click.option("--ca", help="The directory of the CA that signs.", **more)


def arn_prefix_option(**more: Any) -> Callable[[Command], Command]:
    """``--arn-prefix``: region and account, where AWS is not asked."""
    return click.option("--arn-prefix", help="Region and account, as arn:aws:iot:REGION:ACCOUNT.", **more)


def key_type_option(*types: str, same: str | None = None) -> Callable[[Command], Command]:
    """``--key-type``: the type of a key to make, one of ``types``; the first is the default, or ``same`` says what is."""
    choice, default = click.Choice(types), None if same else types[0]
    help_text = "The type of the key to make."
    return click.option("--key-type", type=choice, default=default, show_default=same or True, help=help_text)


def days_option(default: int | None, *, same: str | None = None) -> Callable[[Command], Command]:
    """``--days``: how long a certificate is valid. Where there is no ``default``, ``same`` says what it is."""
    help_text = "Days that the certificate is valid."
    return click.option("--days", type=int, default=default, show_default=same or True, help=help_text)


def output_option(what: str, **more: Any) -> Callable[[Command], Command]:
    """``-o/--output``: where ``what`` goes; the command gets ``output``, a Path (or None, which means stdout)."""
    return click.option("--output", "-o", type=PATH, help=what, **more)


def days_left_option(default: int) -> Callable[[Command], Command]:
    """``--days-left``: how soon a certificate's end is worth a word."""
    return click.option(
        "--days-left",
        type=click.IntRange(0),
        default=default,
        show_default=True,
        help="Report what expires within this many days.",
    )


def listen_address(text: str, *, any_port: bool = False) -> tuple[str, int]:
    """``ADDRESS:PORT`` of ``--listen`` as its parts; port 0 (any free one) only with ``any_port``. Raises BadInput."""
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or not (0 if any_port else 1) <= int(port) < 65536:
        raise BadInput(f"--listen {text}: not of the form ADDRESS:PORT", hint="for example --listen 192.168.1.20:8883")
    return address.removeprefix("[").removesuffix("]"), int(port)


def signing_key_option(command: Command) -> Command:
    """``--signing-key``."""
    return click.option("--signing-key", type=PATH, help="Secure boot's RSA-3072 key, PEM; its public half will do.")(
        command
    )


def own_build_option(command: Command) -> Command:
    """``--own-build``."""
    return click.option("--own-build", is_flag=True, help="A MicroPython built for these features exists for this board.")(
        command
    )
