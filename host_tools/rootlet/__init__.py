"""Rootlet: give an ESP32 its identity and get it safely onto AWS IoT Core."""

__version__ = "0.1.0"
