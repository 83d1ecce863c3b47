# What a user writes against: telemetry out, commands in, and a connection that comes back by itself.
import asyncio
import gc
import json
import os
import time

from . import backoff, clock, config, credentials, faults, tls, wifi
from .faults import Fault
from .log import log
from .mqtt import Session

PROVEN = 30  # seconds after which a connection has proved itself: only then does the backoff start over


class Device:
    """Reads its configuration and identity from flash. Raises nothing: run() reports what is wrong."""

    def __init__(self):
        self._telemetry = []
        self._commands = {}

    def telemetry(self, every):
        """Decorator: publish what the function (or coroutine function) returns, a dict, every so many seconds."""

        def register(function):
            self._telemetry.append((function.__name__, function, every))
            return function

        return register

    def command(self, name):
        """Decorator: call the function (or coroutine function) with the arguments of a command from the cloud."""

        def register(function):
            self._commands[name] = function
            return function

        return register

    def run(self):
        """Run until power goes. A fault that no retry can mend ends it, after one line that says what to do."""
        try:
            asyncio.run(self._main())
        except Fault as fault:
            faults.report(fault)

    async def _main(self):
        self._read_flash()
        for stream, function, every in self._telemetry:
            asyncio.create_task(self._sample(stream, function, every))
        failures = 0
        while True:
            proven = False
            try:
                await self._connection()
            except Fault as fault:
                faults.report(fault)
                proven = fault.proven
            except MemoryError:
                faults.report(Fault("out-of-memory", "%d bytes free" % gc.mem_free()))
            except Exception as error:
                # A device that ends here is a device that somebody has to drive to.
                faults.report(Fault("unexpected", "%s: %s" % (type(error).__name__, error)))
            failures = 1 if proven else failures + 1
            pause = backoff.delay(failures, int.from_bytes(os.urandom(4), "big"))
            log("backoff", "%d ms before attempt %d" % (pause, failures + 1))
            await asyncio.sleep_ms(pause)

    def _read_flash(self):
        settings = self._settings = config.load()
        identity = credentials.load()
        self.thing = identity.thing
        log("identity", "thing %s, certificate %s, issued by %s" % (identity.thing, identity.id, identity.issuer))
        names = []
        roots = []
        for name, der in tls.anchors():
            names.append(name)
            roots.append(der)
        self._tls = tls.context(roots, identity)
        log("roots", " ".join(names))
        prefix = settings["application"] + "/" + identity.thing
        self._out = "dt/" + prefix + "/"
        self._requests = "cmd/" + prefix + "/request"
        self._responses = "cmd/" + prefix + "/response"
        client_id = settings["client_id"] or identity.thing
        self._identity = identity.id
        self._session = Session(client_id, settings["endpoint"], settings["port"], settings["keep_alive"], self._on_message)
        self._session.set_last_will(self._out + "status", b'{"online": false}', retain=True, qos=1)
        self._session.on_first_puback = lambda: log("mqtt", "first puback")

    async def _connection(self):
        # One climb of the ladder, and the connection until it ends, which is always in a Fault.
        settings, session = self._settings, self._session
        await wifi.connect(settings["wifi"], settings["wifi_timeout"])
        await clock.ensure(settings["ntp"])
        gc.collect()
        timeout = settings["connect_timeout"]
        stream = await tls.connect(settings["endpoint"], settings["port"], self._tls, timeout)
        try:
            present = await self._say_hello(session, stream, timeout)
            await self._serve(session, present)
        finally:
            session.close()

    async def _say_hello(self, session, stream, timeout):
        settings = self._settings
        try:
            present = await session.connect(stream, timeout)
        except Fault as fault:
            if fault.word == "tcp" and not stream.chain:
                raise Fault("tls-no-tls", "%s did not answer the TLS handshake" % settings["endpoint"])
            if fault.word == "connection-lost":
                raise Fault(
                    "device-certificate-refused",
                    "%s hung up instead of answering CONNECT: certificate %s is not ACTIVE there, or its policy does not "
                    "allow iot:Connect as %s or its last will" % (settings["endpoint"], self._identity, session.client_id),
                )
            raise
        log("tls", "trusted " + " < ".join([subject for _, subject in stream.chain]))
        gc.collect()
        log("heap", "%d bytes used, %d free" % (gc.mem_alloc(), gc.mem_free()))
        log("mqtt", "connected as %s, session %s" % (session.client_id, "present" if present else "new"))
        return present

    async def _serve(self, session, present):
        up = time.ticks_ms()
        starting = asyncio.create_task(self._start(session, present))
        try:
            await session.run()
        except Fault as fault:
            fault = self._explain(fault, session)
            fault.proven = time.ticks_diff(time.ticks_ms(), up) > PROVEN * 1000
            raise fault
        finally:
            starting.cancel()

    async def _start(self, session, present):
        # What a new connection begins with. A present session has our subscription still.
        try:
            if not present:
                await session.subscribe(self._requests)
            log("mqtt", "subscribed to " + self._requests)
            await session.publish(self._out + "status", b'{"online": true}', True, 1)
        except Fault as fault:
            faults.report(fault)

    def _explain(self, fault, session):
        # A refused publish or subscribe looks like any other end of a connection, but for its timing (AWS IoT).
        what = session.just_sent()
        if fault.word != "connection-lost" or not what:
            return fault
        return Fault(
            "policy-denied",
            "the server hung up right after %s: most likely the policy of certificate %s does not allow it"
            % (what, self._identity),
        )

    async def _sample(self, stream, function, every):
        while True:
            try:
                reading = await _call(function)
            except Exception as error:
                log("application", "telemetry %s raised %s: %s" % (stream, type(error).__name__, error))
            else:
                await self._session.publish(self._out + stream, json.dumps(reading), False, 1)
                log("telemetry", stream + " acknowledged")
            await asyncio.sleep(every)

    async def _on_message(self, topic, payload, duplicate):
        # Returns at once: the reader must go on reading while a command runs.
        if topic == self._requests.encode():
            asyncio.create_task(self._execute(payload))

    async def _execute(self, payload):
        identifier = None
        try:
            request = json.loads(payload)
            identifier = request.get("id")
            name = request["command"]
            function = self._commands[name]
        except (ValueError, KeyError, AttributeError, TypeError):
            reply: dict = {"status": "error", "error": "no such command; known are " + ", ".join(sorted(self._commands))}
        else:
            try:
                reply = {"status": "ok", "result": await _call(function, request.get("arguments"))}
            except Exception as error:
                log("application", "command %s raised %s: %s" % (name, type(error).__name__, error))
                reply = {"status": "error", "error": "%s: %s" % (type(error).__name__, error)}
            log("command", "%s %s" % (name, reply["status"]))
        reply["id"] = identifier
        await self._session.publish(self._responses, json.dumps(reply), False, 1)


async def _call(function, *arguments):
    # A coroutine function's call returns a generator object on MicroPython.
    result = function(*arguments)
    return await result if hasattr(result, "send") else result
