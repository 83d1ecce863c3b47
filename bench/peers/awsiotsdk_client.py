"""A control: the AWS IoT Device SDK v2 as its samples show it. It reconnects by itself once it has been connected."""

import contextlib
import os
import random
import time

from awscrt import mqtt
from awsiot import mqtt_connection_builder

given = {name: os.environ["ROOTLET_ADVISOR_" + name] for name in ("HOST", "PORT", "ROOT", "CERTIFICATE", "KEY", "CLIENT_ID")}
topic = "cmd/" + given["CLIENT_ID"]


def resumed(connection, return_code, session_present):
    if return_code == mqtt.ConnectReturnCode.ACCEPTED and not session_present:
        connection.resubscribe_existing_topics()


connection = mqtt_connection_builder.mtls_from_path(
    endpoint=given["HOST"],
    port=int(given["PORT"]),
    cert_filepath=given["CERTIFICATE"],
    pri_key_filepath=given["KEY"],
    ca_filepath=given["ROOT"],
    client_id=given["CLIENT_ID"],
    clean_session=False,
    keep_alive_secs=30,
    reconnect_min_timeout_secs=1,
    reconnect_max_timeout_secs=60,
    on_connection_resumed=resumed,
)
failures = 0
while True:
    try:
        present = connection.connect().result(60)["session_present"]
        break
    except Exception as error:  # the first connect is the application's to retry
        print("error", type(error).__name__, error, flush=True)
        failures += 1
        time.sleep(random.uniform(1, min(60, 2**failures)))
if not present:
    with contextlib.suppress(Exception):
        connection.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, lambda **_: None)[0].result(60)
while True:
    connection.publish("dt/" + given["CLIENT_ID"], b'{"temperature_c": 21}', mqtt.QoS.AT_LEAST_ONCE)
    time.sleep(75)
