"""A control: Eclipse Paho as its documentation shows it, with its own reconnect."""

import os
import time

import paho.mqtt.client as mqtt

given = {name: os.environ["ROOTLET_ADVISOR_" + name] for name in ("HOST", "PORT", "ROOT", "CERTIFICATE", "KEY", "CLIENT_ID")}

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, given["CLIENT_ID"], clean_session=False)
client.tls_set(given["ROOT"], given["CERTIFICATE"], given["KEY"])


def connected(client, _data, flags, _reason, _properties):
    if not flags.session_present:
        client.subscribe("cmd/" + given["CLIENT_ID"], 1)


client.on_connect = connected
client.connect_async(given["HOST"], int(given["PORT"]), keepalive=30)
client.loop_start()
while True:
    client.publish("dt/" + given["CLIENT_ID"], b'{"temperature_c": 21}', 1)
    time.sleep(75)
