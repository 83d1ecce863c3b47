# A device on micropython-mqtt-async. It has no TLS ("not yet supported"), so TLS is put under it here, verified.
import asyncio
import errno
import socket
import ssl
import sys

import config_of_image as given
import network
from leaf import credentials

sys.modules["uasyncio"] = asyncio

import mqtt_async  # noqa: E402

identity = credentials.load()
network.WLAN(network.STA_IF).active(True)
network.WLAN(network.STA_IF).connect("any")

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_mode = ssl.CERT_REQUIRED
context.load_verify_locations(cadata=given.root)
context.load_cert_chain(identity.certificate, identity.key)


async def open_connection(address):
    raw = socket.socket()
    raw.setblocking(False)
    try:
        raw.connect(address)  # the one that the library looked up, once
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise
    await asyncio.sleep_ms(50)  # on loopback that is enough
    return asyncio.StreamReader(context.wrap_socket(raw, server_hostname=given.host, do_handshake_on_connect=False))


mqtt_async.open_connection = open_connection
config = mqtt_async.config
config.client_id, config.server, config.port = identity.thing, given.host, 8883
config.clean, config.keepalive = False, 30
config.set_last_will("dt/" + identity.thing, "offline")  # without one it sends no keep-alive
config.subs_cb = lambda message: print("message", message.topic, len(message.message))


async def main():
    async def connected(client):
        await client.subscribe("cmd/" + identity.thing, 1)

    config.connect_coro = connected
    client = mqtt_async.MQTTClient(config)
    while True:
        try:
            await client.connect()
            break
        except Exception as error:  # its first connect is not tried again
            print("error", type(error).__name__, error)
            await asyncio.sleep(5)
    while True:
        await client.publish("dt/" + identity.thing, b'{"temperature_c": 21}', qos=1)
        await asyncio.sleep(75)


asyncio.run(main())
