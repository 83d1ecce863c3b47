# What a user writes against: telemetry out, commands and messages in, and a connection that comes back by itself.
import asyncio
import gc
import json
import os
import sys

from . import backoff, clock, commands, config, credentials, delivery, evidence, faults, guard, heap, journal, tls, wifi
from .commands import call, for_ever
from .faults import Fault
from .log import log
from .mqtt import MAX_PACKET, Session
from .outbox import DROP_OLDEST, Outbox

OUTBOX = "/state/outbox"
PRESENCE = "$aws/events/presence/disconnected/"
_SILENCE = 300  # seconds; more than any one rung of the ladder may take, but for Wi-Fi, which depends on the networks
_GRACE = 60  # seconds that an application's function may take beyond its period
_TRY_AGAIN = 3600  # seconds in safe mode until the application gets another chance


class Device:
    """Reads its configuration and identity from flash. Raises nothing: run() reports what is wrong.

    safe: without application, only reachable (leaf/start.py).
    """

    def __init__(self, safe=False):
        self.safe = safe
        self._telemetry = []
        self._rules = {}
        self._handlers = {}
        self._news = asyncio.Event()
        self._subscribed = None  # the filters that the server is known to have in our session
        self._commands = commands.Commands(self._news.set)
        self._commands.known["leaf.status"] = lambda arguments: commands.status(self)
        self._commands.known["leaf.restart"] = self._restart_soon
        self.services = []  # of leaf.services; each registers itself

    def telemetry(self, every, full=DROP_OLDEST):
        """Decorator: publish what the function (or coroutine function) returns, a dict, every so many seconds.

        full says what gives way when the outbox is full: "drop-oldest" or "refuse-new".
        """

        def register(function):
            self._rules[function.__name__] = full
            self._telemetry.append((function.__name__, function, every))
            return function

        return register

    def command(self, name):
        """Decorator: call the function (or coroutine function) with the arguments of a command from the cloud."""

        def register(function):
            self._commands.known[name] = function
            return function

        return register

    def subscribe(self, topic):
        """Decorator: call the function with (topic, payload, duplicate) for messages on the topic, no wildcards; QoS 1.

        topic is a str, payload a bytearray, duplicate says whether the server marked it as sent before.

        The message is acknowledged once the function returns, or has raised.
        """

        def register(function):
            self._handlers[topic] = function
            return function

        return register

    def record(self, stream, reading, durable=False):
        """Take a reading, to be delivered at least once. False: refused, for the outbox is full of what may not be dropped.

        It waits in RAM while the link is up. durable: it is in flash on return (one write), or False is returned.
        """
        if not hasattr(self, "outbox"):
            raise RuntimeError("record() works once run() has begun")
        if clock.dated() and isinstance(reading, dict) and "time" not in reading:
            reading["time"] = clock.now()
        taken = self.outbox.put(stream, json.dumps(reading).encode())
        if taken and durable:
            taken = self.outbox.flush()
        self._news.set()
        return taken

    def run(self):
        """Run until power goes, or stop(). A fault that no retry can mend ends it, after one line that says what to do."""
        try:
            asyncio.run(self._main())
        except Fault as fault:
            faults.report(fault)
            guard.proven()  # a wrong flash is not the application's doing: no safe mode for that
        except asyncio.CancelledError:
            log("device", "stopped")

    def wake(self):
        """There is something to send: a service's next() will say what."""
        self._news.set()

    def stop(self):
        """Begin to end: write down what is undelivered, say offline and DISCONNECT; then run() returns."""
        asyncio.create_task(self._stop())

    async def _stop(self):
        await self._leave()
        self._main_task.cancel()  # type: ignore[union-attr]

    async def _leave(self):
        self.outbox.flush()
        for service in self.services:
            service.leave()
        self._journal.save()
        guard.proven()
        if self._session.up:
            try:
                status = self._session.publish(self._out + "status", b'{"online": false}', True, 1)
                await asyncio.wait_for(status, 5)
            except (Fault, asyncio.TimeoutError):
                pass
        await self._session.disconnect()

    async def _main(self):
        self._main_task = asyncio.current_task()
        self._read_flash()
        self._guard.start()
        settings = self._settings
        what = heap.WIFI + heap.TLS if settings["wifi"] else heap.TLS
        short = heap.shortage("the application is too large: the network and TLS take %d bytes" % what, what, heap.PIECE)
        if short:
            log("heap", short.cause)
        self._guard.expect("connection", _SILENCE + len(settings["wifi"]) * settings["wifi_timeout"])
        asyncio.create_task(self._guard.run(self._every_second, not self.safe))
        asyncio.create_task(for_ever("outbox", self._delivery.run))
        asyncio.create_task(for_ever("clock", self._keep_time))
        for service in self.services:
            service.bind(self.thing)
        for stream, function, every in self._telemetry:
            asyncio.create_task(self._sample(stream, function, every))
        failures = 0
        while True:
            failures = await self._attempt(failures)
            self._guard.alive("connection")
            pause = backoff.delay(failures, int.from_bytes(os.urandom(4), "big"))
            log("backoff", "%d ms before attempt %d" % (pause, failures + 1))
            await asyncio.sleep_ms(pause)

    async def _attempt(self, failures):
        # One climb of the ladder, and the connection until it ends; returns the failures in a row.
        proven = False
        try:
            await self._connection()
        except Fault as error:
            proven = error.proven
            fault = error
            if (fault.link or fault.word in ("dns", "tcp")) and wifi.lost(self._settings["wifi"]):
                fault = Fault("wifi-lost", "the access point is gone (%s)" % fault.cause)
        except MemoryError:
            fault = heap.out_of_memory("GC heap %d bytes free" % gc.mem_free())
        except Exception as error:
            # A device that ends here is a device that somebody has to drive to.
            sys.print_exception(error)
            what = "%s: %s" % (type(error).__name__, error)
            fault = heap.shortage(what, lowest=heap.SPARE) or Fault("unexpected", what)
        self._note(fault)
        topic = self._evidence.hopeless()
        if topic:
            self._delivery.give_up(topic)
        return 1 if proven else failures + 1

    def _read_flash(self):
        settings = self._settings = config.load()
        _unload("config")
        identity = credentials.load()
        self.thing = identity.thing
        log("identity", "thing %s, certificate %s, issued by %s" % (identity.thing, identity.id, identity.issuer))
        names = []
        roots = []
        for name, der in tls.anchors():
            names.append(name)
            roots.append(der)
        self._tls = tls.context(roots, identity)
        _unload("credentials")
        log("roots", " ".join(names))
        prefix = settings["application"] + "/" + identity.thing
        self._out = "dt/" + prefix + "/"
        self._requests = "cmd/" + prefix + "/request"
        client_id = settings["client_id"] or identity.thing
        self._presence = PRESENCE + client_id if settings["presence"] else None
        self._evidence = evidence.Evidence(identity.id)
        self._session = Session(client_id, settings["endpoint"], settings["port"], settings["keep_alive"], self._on_message)
        self._session.set_last_will(self._out + "status", b'{"online": false}', retain=True, qos=1)
        self._session.on_first_puback = lambda: log("mqtt", "first puback")
        self._session.on_skipped = self._note_skipped
        self._session.on_second = self._every_second_of_a_connection
        self._guard = guard.Guard(settings["watchdog"])
        self._journal = journal.Journal(guard.reset_cause())
        self.outbox = Outbox(OUTBOX, settings["outbox_ram"], settings["outbox_flash"])
        self.outbox.rules = self._rules
        self._delivery = delivery.Delivery(
            self._session,
            self.outbox,
            self._journal,
            self._evidence,
            self._news,
            self._out,
            "cmd/" + prefix + "/response",
            self._commands.replies,
            self.services,
        )

    async def _connection(self):
        settings, session = self._settings, self._session
        await wifi.connect(settings["wifi"], settings["wifi_timeout"], settings["wifi_power_saving"])
        self._guard.alive("connection")
        await clock.ensure(settings["ntp"])
        self._guard.alive("connection")
        gc.collect()
        timeout = settings["connect_timeout"]
        stream = await tls.connect(settings["endpoint"], settings["port"], self._tls, timeout)
        self._guard.alive("connection")
        try:
            present = await self._say_hello(session, stream, timeout)
            await self._serve(session, present)
        finally:
            session.close()

    async def _say_hello(self, session, stream, timeout):
        endpoint = self._settings["endpoint"]
        subscribed, self._subscribed = self._subscribed, None
        try:
            present = await session.connect(stream, timeout)
            self._subscribed = subscribed
        except Fault as fault:
            if fault.word != "connect-refused":  # any other verdict may be a lack of memory that Mbed TLS mistook
                short = heap.shortage("%s (%s)" % (fault.word, fault.cause), lowest=heap.SPARE)
                if short:
                    raise short
            if fault.word == "tcp" and not stream.chain:
                raise Fault("tls-no-tls", "%s did not answer the TLS handshake" % endpoint)
            if fault.word == "connection-lost" and not fault.link:
                raise self._evidence.refused(endpoint, session.client_id)
            raise
        self._evidence.connected()
        gc.collect()
        log("heap", "%d bytes used, %d free; %s" % (gc.mem_alloc(), gc.mem_free(), heap.text()))
        log("mqtt", "connected as %s, session %s" % (session.client_id, "present" if present else "new"))
        return present

    async def _serve(self, session, present):
        starting = asyncio.create_task(self._start(session, present))
        try:
            await session.run()
        except Fault as fault:
            explained = self._evidence.explain(fault, session)
            explained.proven = session.proven()
            raise explained
        finally:
            starting.cancel()

    async def _start(self, session, present):
        # What a new connection begins with.
        try:
            await self._subscribe(session, present)
            log("mqtt", "subscribed to " + self._requests)
        except Fault as fault:
            self._note(fault)
        try:
            await session.publish(self._out + "status", b'{"online": true}', True, 1)
            for service in self.services:
                service.connected()
            await self._delivery.tell()
        except Fault as fault:
            self._note(fault)

    def _note(self, fault):
        faults.report(fault)
        self._journal.add(fault)

    async def _subscribe(self, session, present):
        # A present session need not have our subscriptions: a CONNECT may have begun it whose CONNACK we never saw. So only
        # a SUBACK of this boot counts, and only while each CONNECT since then was answered.
        topics = [self._requests] + ([self._presence] if self._presence else []) + list(self._handlers)
        for service in self.services:
            topics.extend(service.filters())
        topics.sort()
        if not present or self._subscribed != topics:
            self._subscribed = None
            await session.subscribe([(topic, 1) for topic in topics])
            self._subscribed = topics

    def _every_second(self):
        clock.monotonic()
        if not self._session.up:
            self.outbox.care()
        if self.safe and clock.monotonic() > _TRY_AGAIN:
            self._restart_soon(None)

    def _every_second_of_a_connection(self):
        self._guard.alive("connection")
        if wifi.lost(self._settings["wifi"]):
            raise Fault("wifi-lost", "the access point is gone")
        for service in self.services:
            service.tick()

    async def _keep_time(self):
        while True:
            await asyncio.sleep(600)
            try:
                if self._session.up:
                    await clock.ensure(self._settings["ntp"])
            except Fault as fault:
                faults.report(fault)

    async def _sample(self, stream, function, every):
        # Readings begin at once, whatever the link does. A function that never returns stops the watchdog's food.
        task = "telemetry " + stream
        self._guard.expect(task, every + _GRACE)
        while True:
            try:
                reading = await call(function)
                if not self.record(stream, reading):
                    log("outbox", "%s refused: full" % stream)
            except Exception as error:
                log("application", "telemetry %s raised %s: %s" % (stream, type(error).__name__, error))
            self._guard.alive(task)
            await asyncio.sleep(every)

    async def _on_message(self, topic, payload, duplicate):
        topic = topic.decode()
        if topic == self._requests:
            self._commands.take(payload)  # returns at once: the reader must go on reading while a command runs
        elif topic == self._presence:
            self._note_presence(payload)
        elif topic in self._handlers:
            try:
                await call(self._handlers[topic], topic, payload, duplicate)
            except Exception as error:
                log("application", "handler of %s raised %s: %s" % (topic, type(error).__name__, error))
        else:
            for service in self.services:
                if service.take(topic, payload):
                    return

    def _note_skipped(self, topic, size):
        # Acknowledged all the same, or the server would deliver it on every connection: the next report tells the cloud.
        why = "" if size > MAX_PACKET else ": the heap has no room to spare"
        self._note(Fault("message-too-large", "%d bytes to %s are read away%s" % (size, topic, why)))

    def _note_presence(self, payload):
        # AWS IoT: lifecycle events. Ours comes with the session, so it is there after the reconnect.
        try:
            reason = json.loads(payload).get("disconnectReason", "")
        except (ValueError, AttributeError):
            return
        log("presence", "the last connection ended: " + reason)
        if reason.startswith("DUPLICATE_CLIENT"):
            self._note(Fault("taken-over", "another client connected as %s: AWS IoT says so" % self._session.client_id))

    def _restart_soon(self, arguments):
        asyncio.create_task(self._restart())
        return "restarting"

    async def _restart(self):
        import machine

        await asyncio.sleep(1)  # the reply to the command goes first
        await self._leave()
        machine.reset()


def _unload(module):
    # Its work is done: on a small board its code is better as free heap.
    sys.modules.pop("leaf." + module, None)
    globals().pop(module, None)
    if hasattr(sys.modules["leaf"], module):
        delattr(sys.modules["leaf"], module)
    gc.collect()
