# Puts an ESP32 on AWS IoT Core over mutual TLS.
from . import clock  # noqa: F401 - first: it starts at boot

# What gives way when the outbox is full.
DROP_OLDEST: str = "drop-oldest"
REFUSE_NEW: str = "refuse-new"

from .device import Device  # noqa: E402, F401

__version__ = "0.1.0"
