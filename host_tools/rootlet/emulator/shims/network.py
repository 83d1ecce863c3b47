# The module `network` of a virtual board: a radio that is always in reach, and a DNS of the emulator's making.
import socket as _real

import c_heap
import ticks

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_ASSOC_FAIL = 200, 201, 202, 203
STAT_HANDSHAKE_TIMEOUT = 204

_networks = None  # None: every network is in reach; else ssid -> password
_refusal = STAT_WRONG_PASSWORD  # the status after a wrong password; the driver has several
_refuses = 0  # joins that fail with this status, whatever the password
_outages = []  # [from, to], milliseconds since power-on: no radio
_mac = b""


def power_on(world):
    global _networks, _mac, _outages, _refusal, _refuses
    _networks = world.get("wifi")
    _outages = world.get("wifi_outages", [])
    _refusal = world.get("wifi_refusal", STAT_WRONG_PASSWORD)
    _refuses = world.get("wifi_refuses", 0)
    _mac = bytes(int(part, 16) for part in world["mac"].split(":"))


def out():
    """Whether no network is in reach."""
    now = ticks.uptime()
    return any(start <= now < end for start, end in _outages)


class WLAN:
    IF_STA, IF_AP = STA_IF, AP_IF
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2

    _active = False
    _status = STAT_IDLE

    def __init__(self, interface=STA_IF):
        pass

    def active(self, on=None):
        if on is None:
            return WLAN._active
        if on:
            c_heap.need("wifi_active")
        else:
            c_heap.give_back("wifi_active")
            c_heap.give_back("wifi_joined")
        WLAN._active = bool(on)
        return WLAN._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        global _refuses
        if not WLAN._active:
            raise OSError("Wifi Not Started")
        if out():
            WLAN._status = STAT_NO_AP_FOUND
        elif _refuses:
            _refuses -= 1
            WLAN._status = _refusal
        elif _networks is None or (ssid in _networks and _networks[ssid] == (key or "")):
            c_heap.need("wifi_joined")
            WLAN._status = STAT_GOT_IP
        elif ssid in _networks:
            WLAN._status = _refusal
        else:
            WLAN._status = STAT_NO_AP_FOUND

    def disconnect(self):
        c_heap.give_back("wifi_joined")
        WLAN._status = STAT_IDLE

    def isconnected(self):
        if WLAN._status == STAT_GOT_IP and out():
            WLAN._status = STAT_BEACON_TIMEOUT
        return WLAN._status == STAT_GOT_IP

    def status(self, parameter=None):
        return -50 if parameter == "rssi" else WLAN._status

    def config(self, *names, **values):
        if "pm" in values:
            print("virtual radio: pm=%d" % values["pm"])
        return _mac if names == ("mac",) else None

    def ifconfig(self):
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")


class Sockets:
    """The module `socket`, with the emulator's answers to DNS in front of the host's."""

    def __init__(self, table, ports, later=None):
        self._table = dict(table)
        self._later = later  # what DNS answers for a known name from the second time on
        self._ports = ports  # well-known ports that a test's server cannot bind, and where it listens instead

    def getaddrinfo(self, host, port, *rest):
        for what in ("wifi_active", "wifi_joined"):
            c_heap.need(what)  # who configures no network has one all the same: it is paid for here
        address = self._table.get(host, host)
        if self._later and host in self._table:
            self._table[host] = self._later
        addresses = address if isinstance(address, list) else [address]  # a server may be behind several
        port = self._ports.get(str(port), port)
        return [entry for one in addresses for entry in _real.getaddrinfo(one, port, *rest)]

    def __getattr__(self, name):
        return getattr(_real, name)
