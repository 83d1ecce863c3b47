# A device on umqtt.robust, which reconnects by itself: every two seconds, for ever. Otherwise as beside, with umqtt.simple.
import ssl
import time

import config_of_image as given
import umqtt_robust
from leaf import credentials

identity = credentials.load()
TLS = {
    "cert": identity.certificate,
    "key": identity.key,
    "cert_reqs": ssl.CERT_REQUIRED,
    "cadata": given.root,
    "server_hostname": given.host,
}

client = umqtt_robust.MQTTClient(identity.thing, given.host, 8883, keepalive=30, ssl=True, ssl_params=TLS)
client.set_callback(lambda topic, payload: print("message", topic, len(payload)))
while True:
    try:
        if not client.connect(clean_session=False):
            client.subscribe("cmd/" + identity.thing, 1)
        break
    except Exception as error:  # robust does not cover the first connect
        print("error", type(error).__name__, error)
        time.sleep(client.DELAY)
spoken = pinged = None
while True:
    now = time.time()
    if spoken is None or now - spoken >= 75:
        client.publish("dt/" + identity.thing, b'{"temperature_c": 21}', qos=1)
        spoken = now
    if pinged is None or now - pinged >= 20:
        client.ping()
        pinged = now
    client.check_msg()
    time.sleep(1)
