# What a user writes against: telemetry out, commands and messages in, and a connection that comes back by itself.
import asyncio
import json
import os

from . import DROP_OLDEST, clock, faults
from .faults import Fault
from .log import log
from .modules import run, use
from .tasks import call

_TRY_AGAIN = const(3600)  # seconds in safe mode until the application gets another chance


class Device:
    """Reads its configuration and identity from flash. Raises nothing: run() reports what is wrong.

    safe: without application, only reachable (leaf/start.py).
    """

    # What setup.py reads from flash.
    settings: dict
    thing: str
    certificate: str
    topics: dict
    presence: "str | None"
    history: dict
    record_of_faults: dict

    short = 0  # attempts in a row that ended for want of memory
    look = False  # at the server's certificates, whatever memory that takes
    _climbing = False
    _setting_clock = False
    _failed = None  # what kept a connection from beginning

    def __init__(self, safe=False):
        self.safe = safe
        self.telemetries = []
        self.rules = {}
        self.handlers = {}
        self.news = asyncio.Event()  # there is something to send
        self.subscribed = None  # the filters that the server is known to have in our session
        self.commands = {}  # name -> function, seconds
        self.ran = None  # of the last commands: commands.py
        self.running = 0  # of them
        self.replies = []
        self.services = []  # of leaf.services; each registers itself

    def telemetry(self, every, full=DROP_OLDEST):
        """Decorator: publish what the function (or coroutine function) returns, a dict, every so many seconds.

        full says what gives way when the outbox is full: "drop-oldest" or "refuse-new".
        """
        return use("registering", "telemetry", self, every, full)

    def command(self, name, timeout=300):
        """Decorator: call the function (or coroutine function) with the arguments of a command from the cloud.

        After so many seconds it is cancelled. Raises ValueError for a timeout that is none.
        """
        return use("registering", "command", self, name, timeout)

    def subscribe(self, topic):
        """Decorator: call the function with (topic, payload, duplicate) for messages on the topic, no wildcards; QoS 1.

        topic is a str, payload a bytearray, duplicate says whether the server marked it as sent before.

        The message is acknowledged once the function returns, or has raised.
        """
        return use("registering", "entry", self.handlers, topic)

    def record(self, stream, reading, durable=False):
        """Take a reading, to be delivered at least once. False: refused, for the outbox is full of what may not be dropped.

        It waits in RAM while the link is up. durable: it is in flash on return (one write), or False is returned. What JSON
        cannot hold (nan, inf, bytes, any object) becomes null, and a line names the stream and the key.
        """
        if not hasattr(self, "outbox"):
            raise RuntimeError("record() before run()")
        if clock.dated() and isinstance(reading, dict) and "time" not in reading:
            reading["time"] = clock.now()
        if not check(reading):
            reading = use("plain", "plain", reading, stream)
        taken = self.outbox.put(stream, json.dumps(reading).encode())
        if taken and durable:
            taken = self.outbox.flush()
        self.news.set()
        return taken

    def run(self):
        """Run until power goes, or stop(). A fault that no retry can mend ends it, after one line that says what to do."""
        try:
            asyncio.run(self._main())
        except Fault as fault:
            faults.report(fault)
            use("boots", "proven")  # a wrong flash is not the application's doing: no safe mode for that
        except asyncio.CancelledError:
            log("device", "stopped")

    def wake(self):
        """There is something to send: a service's next() will say what."""
        self.news.set()

    def stop(self):
        """Begin to end: write down what is undelivered, say offline and DISCONNECT; then run() returns."""
        asyncio.create_task(self._stop())

    async def _stop(self):
        await run("leave", "end", self)
        self._main_task.cancel()  # type: ignore[union-attr]

    async def restart(self):
        """As stop(), and then the board starts again."""
        await run("leave", "restart", self)

    async def _main(self):
        self._main_task = asyncio.current_task()
        use("identity", "load", self)
        # What a connected device needs all the time; all else is in RAM only while it is used (modules.py).
        from . import delivery, mqtt, outbox, stream, watchdog  # noqa: F401

        self.session, self.outbox, self.delivery, self.guard = use("setup", "start", self)
        failures = 0
        while True:
            failures = await self._attempt(failures)
            self.guard.alive("connection")
            pause = use("backoff", "delay", failures, int.from_bytes(os.urandom(4), "big"))
            log("backoff", "%d ms before attempt %d" % (pause, failures + 1))
            await asyncio.sleep_ms(pause)

    async def _attempt(self, failures):
        # One climb of the ladder, and the connection until it ends; returns the failures in a row.
        proven = False
        if failures > 1:
            self.outbox.flush()  # lest they lie scattered where the handshake needs memory in one piece
        self._climbing = True
        try:
            await self._serve(await run("hello", "say", self, await run("climb", "up", self)))
        except Exception as error:
            # A device that ends here is a device that somebody has to drive to.
            self.outbox.rest()
            proven = self._ended(error)
        finally:
            self._climbing = False
            self.session.close()
        return 1 if proven else failures + 1

    def linked(self):
        """Whether the link that leaf brought up is there."""
        if not self.settings["wifi"]:
            return True  # not ours
        import network

        return network.WLAN(network.STA_IF).isconnected()

    def _ended(self, error):
        try:
            return use("ending", "of", self, error)
        except MemoryError:
            log("device", "no memory")
            return False

    async def _serve(self, present):
        self._failed = None
        beginning = asyncio.create_task(self._begin(present))
        try:
            await self.session.run()
        finally:
            beginning.cancel()

    async def _begin(self, present):
        try:
            await run("beginning", "of", self, present)
            await run("report", "send", self)
            if clock.doubt:
                use("trial", "done")
            self.outbox.drain()  # one after the other: all of it together would take too much memory
            self.wake()
        except Exception as error:
            self._failed = error  # without its subscriptions a connection is none: on_second() ends it

    def note(self, fault):
        """Say it, and count it for the next report."""
        faults.report(fault)
        use("journal", "add", self.record_of_faults, fault)

    def every_second(self):
        """Called by the guard."""
        if faults.waiting:
            use("report", "note", self)
        due = clock.due()
        if not self.session.up:
            if not self._climbing:  # whose handshake needs the memory
                self.outbox.care()
        elif due and not self._setting_clock and not self.outbox.backlog:  # both at once would take too much memory
            self._setting_clock = True
            asyncio.create_task(self._set_clock())
        if self.safe and clock.monotonic() > _TRY_AGAIN:
            asyncio.create_task(self.restart())

    def on_second(self):
        """Every second of a connection."""
        self.guard.alive("connection")
        if self._failed:
            raise use("trouble", "named", self._failed)
        if not self.linked():
            raise Fault("wifi-lost", "the access point is gone")
        if self.session.aside is not None:
            use("suspicion", "tick", self)
        for service in self.services:
            service.tick()

    async def _set_clock(self):
        try:
            await run("sync", "ensure", self.settings["ntp"])
        finally:
            self._setting_clock = False

    async def read(self, task, function):
        """Take a reading; task is "telemetry " and the stream's name."""
        try:
            self.record(task[10:], await call(function))
        except Exception as error:
            log("application", "%s raised %s: %s" % (task, type(error).__name__, error))
        self.guard.alive(task)

    async def on_message(self, topic, payload, duplicate):
        """A message from the server. It is acknowledged on return."""
        topic = topic.decode()
        if topic == self.topics["requests"]:
            use("commands", "take", self, payload)  # returns at once: the reader must go on reading while a command runs
        elif topic == self.presence:
            use("notices", "presence", self, payload)
        elif topic in self.handlers:
            try:
                await call(self.handlers[topic], topic, payload, duplicate)
            except Exception as error:
                log("application", "handler of %s raised %s: %s" % (topic, type(error).__name__, error))
        else:
            for service in self.services:
                if service.take(topic, payload):
                    return

    def on_skipped(self, topic, size):
        """A message was too large."""
        use("notices", "skipped", self, topic, size)


def check(value):
    """Whether JSON can hold the value as it is."""
    kind = type(value)
    if kind is dict:
        value = value.values()  # json.dumps makes texts of the keys
    elif kind not in (list, tuple):
        return value is None or (value - value == 0 if kind is float else kind in (int, str, bool))  # nan and inf are not 0
    for item in value:
        if not check(item):
            return False
    return True
