# Puts an ESP32 on AWS IoT Core over mutual TLS.
from . import log  # noqa: F401 - first: its clock starts at boot

DROP_OLDEST, REFUSE_NEW = "drop-oldest", "refuse-new"  # what gives way when the outbox is full

from .device import Device  # noqa: E402, F401

__version__ = "0.1.0"
