# What a user writes against: telemetry out, commands and messages in, and a connection that comes back by itself.
import asyncio
import gc
import json
import os
import sys

from . import backoff, clock, commands, config, credentials, evidence, faults, guard, journal, state, tls, wifi
from .commands import call, for_ever
from .faults import Fault
from .log import log
from .mqtt import Session
from .outbox import DROP_OLDEST, Outbox

OUTBOX = "/state/outbox"
PRESENCE = "$aws/events/presence/disconnected/"
_SILENCE = 300  # seconds; more than any one rung of the ladder may take, but for Wi-Fi, which depends on the networks
_GRACE = 60  # seconds that an application's function may take beyond its period
_TRY_AGAIN = 3600  # seconds in safe mode until the application gets another chance
_SUBSCRIBED = "subscribed.json"  # the filters that the server has in our session


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
        self._commands = commands.Commands(self._news.set)
        self._commands.known["leaf.status"] = lambda arguments: commands.status(self)
        self._commands.known["leaf.restart"] = self._restart_soon
        self._given_up = {}  # topic -> True: the policy denies it
        self._telling = False

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

    def stop(self):
        """Begin to end: write down what is undelivered, say offline and DISCONNECT; then run() returns."""
        asyncio.create_task(self._stop())

    async def _stop(self):
        await self._leave()
        self._main_task.cancel()  # type: ignore[union-attr]

    async def _leave(self):
        self.outbox.flush()
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
        self._guard.expect("connection", _SILENCE + len(settings["wifi"]) * settings["wifi_timeout"])
        asyncio.create_task(self._guard.run(self._every_second, not self.safe))
        asyncio.create_task(for_ever("outbox", self._pump))
        asyncio.create_task(for_ever("clock", self._keep_time))
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
        except MemoryError:
            fault = Fault("out-of-memory", "%d bytes free" % gc.mem_free())
        except Exception as error:
            # A device that ends here is a device that somebody has to drive to.
            sys.print_exception(error)
            fault = Fault("unexpected", "%s: %s" % (type(error).__name__, error))
        faults.report(fault)
        self._journal.add(fault)
        topic = self._evidence.hopeless()
        if topic:
            log("outbox", "%s is given up until the next boot: the server hangs up on it" % topic)
            self._given_up[topic] = True
            self._session.forget(topic)
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
        self._responses = "cmd/" + prefix + "/response"
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
        try:
            present = await session.connect(stream, timeout)
        except Fault as fault:
            if fault.word == "tcp" and not stream.chain:
                raise Fault("tls-no-tls", "%s did not answer the TLS handshake" % endpoint)
            if fault.word == "connection-lost":
                raise self._evidence.refused(endpoint, session.client_id)
            raise
        self._evidence.connected()
        log("tls", "trusted " + " < ".join([subject for _, subject in stream.chain]))
        gc.collect()
        log("heap", "%d bytes used, %d free" % (gc.mem_alloc(), gc.mem_free()))
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
            await session.publish(self._out + "status", b'{"online": true}', True, 1)
            await self._tell()
        except Fault as fault:
            faults.report(fault)
            self._journal.add(fault)

    async def _subscribe(self, session, present):
        # A present session has our subscriptions, but only if a SUBACK came in it, in this boot or an earlier one: the
        # connection that began the session may have ended before.
        topics = sorted([self._requests] + ([self._presence] if self._presence else []) + list(self._handlers))
        known = state.read(_SUBSCRIBED, [])
        if present and known == topics:
            return
        if known:
            state.write(_SUBSCRIBED, [])
        await session.subscribe([(topic, 1) for topic in topics])
        state.write(_SUBSCRIBED, topics)

    async def _tell(self):
        # What happened while the cloud could not see it. Survives, in flight, the end of this connection.
        topic = self._out + "faults"
        report = None if self._telling or topic in self._given_up else self._journal.report(self.outbox.dropped)
        if not report:
            return
        self._telling = True
        self.outbox.dropped = {}

        def done(delivered):
            self._telling = False
            if delivered:
                self._journal.told(report)

        await self._session.room()
        await self._session.post(topic, json.dumps(report), False, done)

    async def _pump(self):
        # Replies first, then what the outbox holds; with QoS 1, a window at a time.
        session, outbox, replies = self._session, self.outbox, self._commands.replies
        while True:
            await session.room()
            if replies:
                await self._post(self._responses, replies.pop(0), None)
                continue
            record = outbox.take()
            if not record:
                self._news.clear()
                await self._news.wait()
                continue
            topic = self._out + record.stream
            if topic in self._given_up:
                outbox.done(record)
                outbox.dropped[record.stream] = outbox.dropped.get(record.stream, 0) + 1
            else:
                await self._post(topic, record.payload, record)

    async def _post(self, topic, payload, record):
        def done(delivered):
            if not record:
                return
            self.outbox.done(record)
            if delivered:
                self._evidence.delivered(topic)
                log("telemetry", record.stream + " acknowledged")
            else:
                self.outbox.dropped[record.stream] = self.outbox.dropped.get(record.stream, 0) + 1

        await self._session.post(topic, payload, False, done)

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

    def _note_skipped(self, topic, size):
        # Acknowledged all the same, or the server would deliver it on every connection: the next report tells the cloud.
        fault = Fault("message-too-large", "%d bytes to %s are read away" % (size, topic))
        faults.report(fault)
        self._journal.add(fault)

    def _note_presence(self, payload):
        # AWS IoT: lifecycle events. Ours comes with the session, so it is there after the reconnect.
        try:
            reason = json.loads(payload).get("disconnectReason", "")
        except (ValueError, AttributeError):
            return
        log("presence", "the last connection ended: " + reason)
        if reason.startswith("DUPLICATE_CLIENT"):
            fault = Fault("taken-over", "another client connected as %s: AWS IoT says so" % self._session.client_id)
            faults.report(fault)
            self._journal.add(fault)

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
