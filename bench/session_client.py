# Runs under MicroPython's Unix port: one client, one measurement. given: {"client", "what", "host", "port", ...}.
import asyncio
import gc
import json
import os
import sys
import time

given = json.loads(os.getenv("GIVEN"))
TOPIC = "dt/bench/thing/telemetry"
PAYLOAD = b"x" * 48
assert len(TOPIC) == 24


def answer(**values):
    print("ANSWER" + json.dumps(values))


def credentials():
    class Pair:
        pass

    pair = Pair()
    with open(given["certificate"], "rb") as stream:
        pair.certificate = stream.read()
    with open(given["key"], "rb") as stream:
        pair.key = stream.read()
    return pair


def anchors():
    with open(given["root"], "rb") as stream:
        return [stream.read()]


class Leaf:
    """leaf: the session as the device runs it."""

    async def start(self):
        from leaf import subscribing, tcp, tls, trust  # noqa: F401 - publish() is to find its module in RAM
        from leaf.mqtt import Session

        self.tcp, self.tls = tcp, tls
        self.context = trust.context([("bench", der) for der in anchors()], credentials(), [])
        self.session = Session("bench", given["host"], given["port"], 60)
        await self.connect()

    async def connect(self):
        sock = await self.tcp.connect(given["host"], given["port"], 10)
        stream = self.tls.wrap(sock, given["host"], self.context)
        await self.session.connect(stream, 10)
        self.serving = asyncio.create_task(self.serve())

    async def serve(self):
        from leaf.faults import Fault

        try:
            await self.session.run()
        except Fault:
            self.session.close()

    async def publish(self, qos):
        await self.session.publish(TOPIC, PAYLOAD, False, qos)

    async def burst(self, count):
        left = [count]
        done = asyncio.Event()

        def one(delivered):
            left[0] -= 1
            if not left[0]:
                done.set()

        for _ in range(count):
            await self.session.room()
            await self.session.post(TOPIC, PAYLOAD, False, one)
        await done.wait()

    async def come_back(self):
        await self.serving
        while True:
            try:
                await self.connect()
                break
            except Exception:
                self.session.close()
                await asyncio.sleep_ms(50)
        await self.publish(1)


class Umqtt:
    """umqtt.simple 1.3.4, over TLS with verification as an application would set it up."""

    async def start(self):
        import tls

        class Ussl:  # the module's name in 2014
            @staticmethod
            def wrap_socket(sock, **parameters):
                made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
                for der in anchors():
                    made.load_verify_locations(der)
                pair = credentials()
                made.load_cert_chain(pair.certificate, pair.key)
                return made.wrap_socket(sock, server_hostname=given["host"])

        sys.modules["ussl"] = Ussl
        from umqtt.simple import MQTTClient

        self.client = MQTTClient("bench", given["host"], given["port"], keepalive=60, ssl=True)
        self.client.connect()

    async def publish(self, qos):
        self.client.publish(TOPIC, PAYLOAD, qos=qos)

    async def burst(self, count):
        for _ in range(count):
            self.client.publish(TOPIC, PAYLOAD, qos=1)

    async def come_back(self):
        while True:
            try:
                self.client.publish(TOPIC, PAYLOAD, qos=1)
                time.sleep_ms(100)
            except Exception:
                break
        while True:
            try:
                self.client.sock.close()
                self.client.connect()
                self.client.publish(TOPIC, PAYLOAD, qos=1)
                return
            except Exception:
                time.sleep_ms(50)


class MqttAsync:
    """micropython-mqtt-async 0.7b4: it has no TLS, so it runs without."""

    async def start(self):
        sys.modules["uasyncio"] = asyncio
        import network

        station = network.WLAN(network.STA_IF)
        station.active(True)
        station.connect("bench")
        import mqtt_async
        from mqtt_async import MQTTClient, MQTTConfig

        async def open_connection(address):  # it passes on a sockaddr, which on the Unix port is no (host, port)
            return (await asyncio.open_connection("127.0.0.1", given["port"]))[0]

        mqtt_async.open_connection = open_connection
        config = MQTTConfig()
        config.client_id = "bench"
        config.server = "127.0.0.1"
        config.port = given["port"]
        config.clean = False
        self.client = MQTTClient(config)
        await self.client.connect()

    async def publish(self, qos):
        await self.client.publish(TOPIC, PAYLOAD, False, qos)

    async def burst(self, count):
        for _ in range(count - 1):
            await self.client.publish(TOPIC, PAYLOAD, False, 1, sync=False)
        await self.client.publish(TOPIC, PAYLOAD, False, 1)

    async def come_back(self):
        while True:
            await self.client.publish(TOPIC, PAYLOAD, False, 1)
            await asyncio.sleep_ms(100)


def resolve():
    # The broker's certificate names a host that no DNS knows.
    import network

    sys.modules["socket"] = network.Sockets({given["host"]: "127.0.0.1"}, {})
    sys.modules["usocket"] = sys.modules["socket"]


async def main():
    resolve()
    client = {"leaf": Leaf, "umqtt.simple": Umqtt, "mqtt-async": MqttAsync}[given["client"]]()
    await client.start()
    what = given["what"]
    if what == "wire":
        print("READY")
        for qos in (0, 1):
            await asyncio.sleep_ms(300)
            for _ in range(given["count"]):
                await client.publish(qos)
            await asyncio.sleep_ms(300)
            print("PART")
            sys.stdin.readline()
    elif what == "rate":
        started = time.ticks_ms()
        await client.burst(given["count"])
        answer(rate=given["count"] * 1000 / time.ticks_diff(time.ticks_ms(), started))
    elif what == "return":
        await client.publish(1)
        print("READY")
        await client.come_back()
        print("BACK")
        await asyncio.sleep(1)
    elif what == "heap":
        await client.publish(1)
        gc.collect()
        idle = gc.mem_alloc()
        await client.burst(given["early"])
        gc.collect()
        early = gc.mem_alloc()
        await client.burst(given["count"])
        gc.collect()
        answer(idle=idle, early=early, late=gc.mem_alloc())


gc.threshold(8192)
asyncio.run(main())
