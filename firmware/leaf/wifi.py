# The first rung: a network. Several may be configured; they are tried in order.
import asyncio
import time

import network

from .faults import Fault
from .log import log

_WRONG_PASSWORD = ("STAT_WRONG_PASSWORD", "STAT_HANDSHAKE_TIMEOUT")


async def connect(networks, timeout):
    """Join the first network that lets us in; timeout in seconds for each. Raises Fault."""
    if not networks:
        return  # something else brings the link up: Ethernet, or the application
    station = network.WLAN(network.STA_IF)
    station.active(True)
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


async def _join(station, entry, timeout):
    station.disconnect()
    station.connect(entry["ssid"], entry.get("password"))
    deadline = time.ticks_add(time.ticks_ms(), timeout * 1000)
    wrong = [getattr(network, name) for name in _WRONG_PASSWORD if hasattr(network, name)]
    while not station.isconnected():
        status = station.status()
        if status in wrong:
            raise Fault("wifi-password", "%s refused the password" % entry["ssid"])
        if time.ticks_diff(deadline, time.ticks_ms()) <= 0 or status == network.STAT_NO_AP_FOUND:
            raise Fault("wifi-not-found", "%s did not answer" % entry["ssid"])
        await asyncio.sleep_ms(100)
