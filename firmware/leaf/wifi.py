# The first rung: a network. Several may be configured; they are tried in order.
import asyncio

import network

from . import heap
from .clock import milliseconds
from .faults import Fault, number
from .log import log

# WLAN.status() passes the driver's reason for a failed join on: a code of IEEE 802.11 or, from 200, of Espressif's
# wifi_err_reason_t. `network` names only some of them. One string, because MicroPython keeps short ones for ever.
_NAMES = const(
    "2 AUTH_EXPIRE, 3 AUTH_LEAVE, 4 ASSOC_EXPIRE, 5 ASSOC_TOOMANY, 8 ASSOC_LEAVE, 14 MIC_FAILURE, "
    "15 4WAY_HANDSHAKE_TIMEOUT, 16 GROUP_KEY_UPDATE_TIMEOUT, 23 802_1X_AUTH_FAILED, 24 CIPHER_SUITE_REJECTED, "
    "200 BEACON_TIMEOUT, 201 NO_AP_FOUND, 202 AUTH_FAIL, 203 ASSOC_FAIL, 204 HANDSHAKE_TIMEOUT, 205 CONNECTION_FAIL, "
    "210 NO_AP_FOUND_W_COMPATIBLE_SECURITY, 211 NO_AP_FOUND_IN_AUTHMODE_THRESHOLD, 212 NO_AP_FOUND_IN_RSSI_THRESHOLD, "
    "1000 IDLE, 1001 CONNECTING"
)
_PASSWORD = (15, 202, 204)
_PROBABLY = (2, 205)  # a wrong password of WPA3, or a join that a second try mends
_SILENT = (200, 201, 212)  # no access point of that name is near enough
_REASONS_END = const(1000)  # from here on the status is no reason, but a state
_AGAIN = const(1000)  # milliseconds between two tries within the timeout


async def connect(networks, timeout, power_saving=False):
    """Join the first network that lets us in; timeout in seconds for each. Raises Fault."""
    if not networks:
        return  # something else brings the link up: Ethernet, or the application
    station = network.WLAN(network.STA_IF)
    if not station.active():
        try:
            station.active(True)
        except OSError as error:
            raise heap.out_of_memory("the radio (%s)" % error) if heap.refused(number(error)) else error
        _configure(station, power_saving)
    if station.isconnected():
        return
    fault = Fault("wifi-not-found", "no network answered")
    for entry in networks:
        try:
            await _join(station, entry, timeout)
            log("wifi", "joined %s, address %s" % (entry["ssid"], station.ifconfig()[0]))
            return
        except Fault as error:
            log("wifi", "%s: %s" % (entry["ssid"], error.word))
            # What an access point said is worth more to an engineer than a network out of reach.
            if fault.word == "wifi-not-found" or error.word == "wifi-password":
                fault = error
    raise fault


def _configure(station, power_saving):
    try:
        # The driver would try the last network for ever, beside our going through all of them.
        station.config(reconnects=0)
        # Power saving delays what comes in by up to a beacon interval or three: about 100 to 300 ms.
        station.config(pm=network.WLAN.PM_POWERSAVE if power_saving else network.WLAN.PM_PERFORMANCE)
    except (ValueError, AttributeError, OSError) as error:
        log("wifi", "power saving cannot be set (%s)" % error)


async def _join(station, entry, timeout):
    station.disconnect()
    _begin(station, entry)
    deadline = milliseconds() + timeout * 1000
    while not station.isconnected():
        status = station.status()
        late = milliseconds() >= deadline
        if late or status in _PASSWORD or status == 201:
            raise _why(entry, status)
        await asyncio.sleep_ms(100)
        if 0 < status < _REASONS_END:
            await asyncio.sleep_ms(_AGAIN - 100)
            _begin(station, entry)


def _begin(station, entry):
    try:
        station.connect(entry["ssid"], entry.get("password"))
    except OSError as error:
        if heap.refused(number(error)):
            raise heap.out_of_memory("joining " + entry["ssid"])
        raise Fault("wifi-lost", "the radio refuses to join %s (%s)" % (entry["ssid"], error))


def _why(entry, status):
    named = "status %d" % status
    for known in _NAMES.split(", "):
        code, name = known.split(" ")
        if code == str(status):
            named += ", " + name
    if status in _SILENT or status >= _REASONS_END:
        return Fault("wifi-not-found", "%s did not answer (%s)" % (entry["ssid"], named))
    if status in _PASSWORD + _PROBABLY and entry.get("password"):
        return Fault("wifi-password", "%s refused the password (%s)" % (entry["ssid"], named))
    return Fault("wifi-refused", "%s refused the board (%s)" % (entry["ssid"], named))
