# A device on plain umqtt.simple, as its users write one: TLS verified, a persistent session, QoS 1, and, since it has no
# reconnect of its own, the usual loop that tries again five seconds after any error.
import ssl
import time

import config_of_image as given
import umqtt.simple
from leaf import credentials

identity = credentials.load()
TLS = {
    "cert": identity.certificate,
    "key": identity.key,
    "cert_reqs": ssl.CERT_REQUIRED,
    "cadata": given.root,
    "server_hostname": given.host,
}


def serve():
    client = umqtt.simple.MQTTClient(identity.thing, given.host, 8883, keepalive=30, ssl=True, ssl_params=TLS)
    client.set_callback(lambda topic, payload: print("message", topic, len(payload)))
    client.connect(clean_session=False)
    client.subscribe("cmd/" + identity.thing, 1)
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


while True:
    try:
        serve()
    except Exception as error:
        print("error", type(error).__name__, error)
    time.sleep(5)
