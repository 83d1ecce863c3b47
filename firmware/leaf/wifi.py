# The first rung: a network. Several may be configured; they are tried in order.
import asyncio

import network

from . import heap
from .clock import milliseconds
from .faults import Fault, number
from .log import log

_WRONG_PASSWORD = const(("STAT_WRONG_PASSWORD", "STAT_HANDSHAKE_TIMEOUT"))


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
            # A wrong password is worth more to an engineer than a network out of reach.
            if fault.word != "wifi-password":
                fault = error
    raise fault


def lost(networks):
    """Whether a link that leaf brought up is gone."""
    return bool(networks) and not network.WLAN(network.STA_IF).isconnected()


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
    try:
        station.connect(entry["ssid"], entry.get("password"))
    except OSError as error:
        if heap.refused(number(error)):
            raise heap.out_of_memory("joining " + entry["ssid"])
        raise Fault("wifi-lost", "the radio refuses to join %s (%s)" % (entry["ssid"], error))
    deadline = milliseconds() + timeout * 1000
    wrong = [getattr(network, name) for name in _WRONG_PASSWORD if hasattr(network, name)]
    while not station.isconnected():
        status = station.status()
        if status in wrong:
            raise Fault("wifi-password", "%s refused the password" % entry["ssid"])
        if milliseconds() >= deadline or status == network.STAT_NO_AP_FOUND:
            raise Fault("wifi-not-found", "%s did not answer" % entry["ssid"])
        await asyncio.sleep_ms(100)
