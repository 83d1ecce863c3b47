# Puts an ESP32 on AWS IoT Core over mutual TLS.
__version__ = "0.1.0"


def __getattr__(name):
    # Device pulls in everything else; importing leaf.log alone should not.
    if name == "Device":
        from .device import Device

        return Device
    raise AttributeError(name)
