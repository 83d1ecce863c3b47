# Stands for the radio: the network is there and lets everybody in.
import wire

STA_IF = 0
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202


class WLAN:
    PM_PERFORMANCE, PM_POWERSAVE = 0, 1
    _made = None

    def __new__(cls, interface):
        cls._made = cls._made or object.__new__(cls)
        return cls._made

    def __init__(self, interface):
        pass

    _active = _joined = False

    def active(self, flag=None):
        if flag is None:
            return self._active
        WLAN._active = flag
        wire.tell("radio")

    def config(self, **values):
        pass

    def disconnect(self):
        WLAN._joined = False

    def connect(self, ssid, password=None):
        WLAN._joined = True
        wire.tell("wifi")

    def isconnected(self):
        return self._joined

    def status(self):
        return 1010

    def ifconfig(self):
        return ("192.0.2.7", "255.255.255.0", "192.0.2.1", "192.0.2.1")
