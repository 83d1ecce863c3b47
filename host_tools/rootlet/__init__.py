"""Rootlet: give an ESP32 its identity and get it safely onto AWS IoT Core.

The names below are for use from Python (docs/python.md). Each is imported on first use, so that ``import rootlet`` is quick
and needs no extra.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rootlet.board.image import Image
    from rootlet.cloud.registration import RegistrationRequest, register
    from rootlet.emulator.virtual_board import BoardSettings, VirtualBoard
    from rootlet.errors import BadInput, RootletError
    from rootlet.pki.authority import Authority
    from rootlet.pki.identity import DeviceIdentity
    from rootlet.pki.subject import Subject
    from rootlet.sandbox.sandbox import Sandbox
    from rootlet.scripting import build_image

__version__ = "0.1.0"

__all__ = [
    "Authority",
    "BadInput",
    "BoardSettings",
    "DeviceIdentity",
    "Image",
    "RegistrationRequest",
    "RootletError",
    "Sandbox",
    "Subject",
    "VirtualBoard",
    "build_image",
    "register",
]

_HOMES = {
    "Authority": "pki.authority",
    "BadInput": "errors",
    "BoardSettings": "emulator.virtual_board",
    "DeviceIdentity": "pki.identity",
    "Image": "board.image",
    "RegistrationRequest": "cloud.registration",
    "RootletError": "errors",
    "Sandbox": "sandbox.sandbox",
    "Subject": "pki.subject",
    "VirtualBoard": "emulator.virtual_board",
    "build_image": "scripting",
    "register": "cloud.registration",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
