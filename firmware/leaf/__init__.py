# Puts an ESP32 on AWS IoT Core over mutual TLS.
from . import log  # noqa: F401 - first: its clock starts at boot
from .device import Device  # noqa: F401
from .outbox import DROP_OLDEST, REFUSE_NEW  # noqa: F401

__version__ = "0.1.0"
