# The device's shadow: settings that the cloud desires, and a state that the device reports (AWS IoT: Device Shadow service).
# What is done with the documents: shadow_work.py.
import asyncio
import json

from ..device import check
from ..modules import run, use
from . import Service

AGAIN = 30  # seconds until an update is sent again that could not be sent, or that the service was too busy for
_ANSWER = const(10)  # seconds for the answer to a request for the shadow; then the device reports without it


class Shadow(Service):
    """The thing's classic shadow, or its named one. shadow[name] is a setting's value.

    In the reported state, "refused" says for each setting why a desired value was not taken.
    """

    answers = ("update/delta", "update/rejected", "get/accepted", "get/rejected")

    version = 0
    changed = False  # there may be something to report
    pause = 0  # seconds until something may be reported
    ask_in = 0  # seconds until the shadow is asked for again
    keep_in = 0  # seconds until accepted settings are written to flash; the cloud still has them
    _asking = _sending = _working = False

    def __init__(self, device, name=None):
        super().__init__(device, "shadow/name/" + name if name else "shadow")
        self._file = "shadow-%s.json" % name if name else "shadow.json"
        self.functions = {}
        self.settings = {}
        self.reported = {}
        self.shown = {}  # what the cloud has as reported, as far as is known
        self.wanted = {}  # desired values, to be given to their functions

    def setting(self, name, value):
        """Decorator: call the function (or coroutine function) with each new desired value of the setting.

        It may return the value that it took instead, and raise for one that it does not take. value holds until the cloud
        has said something; then, also across a reboot, what was taken last, which the function is called with at boot.
        """

        def register(function):
            self.functions[name] = function
            self.settings[name] = self.reported[name] = copy(value)
            return function

        return register

    def report(self, values):
        """Take values (a dict) into the reported state. None removes one. Sent when there is a connection.

        Raises ValueError for what JSON cannot hold.
        """
        self.reported.update(copy(values))
        self.wake()

    def __getitem__(self, name):
        return self.settings[name]

    def bind(self, thing):
        super().bind(thing)
        kept = use("state", "read", self._file, {})
        for name in kept:
            if name in self.functions and kept[name] != self.settings[name]:
                self.want(name, kept[name])

    def connected(self):
        self._asking = True
        self.pause = _ANSWER
        self.wake()

    def wake(self):
        self.changed = True
        super().wake()

    def next(self):
        if self._asking:
            self._asking = False
            return self.prefix + "get", b"", None
        if self._sending or self.pause or not self.changed:
            return None
        self.changed = False
        update = use("services.shadow_work", "difference", self.reported, self.shown)
        if not update:
            return None
        self._sending = True

        def done(delivered):
            self._sending = False
            if delivered:
                use("services.shadow_work", "sent", self, update)
            else:
                self.pause = AGAIN

        return self.prefix + "update", json.dumps({"state": {"reported": update}}), done

    def on(self, answer, document):
        use("services.shadow_work", "on", self, answer, document)

    def tick(self):
        self._go_on()
        if self.ask_in:
            self.ask_in -= 1
            if not self.ask_in:
                self.connected()
        if self.pause:
            self.pause -= 1
            if not self.pause:
                self.wake()
        if self.keep_in:
            self.keep_in -= 1
            if not self.keep_in:
                self._keep()

    def leave(self):
        if self.keep_in:
            self._keep()

    def _keep(self):
        self.keep_in = 0
        use("services.shadow_work", "keep", self._file, self.settings)

    def want(self, name, value):
        """Give a desired value to its function."""
        self.wanted[name] = value
        self._go_on()

    def _go_on(self):
        if self.wanted and not self._working:
            self._working = True
            asyncio.create_task(self._follow())

    async def _follow(self):
        try:
            await run("services.shadow_work", "follow", self)
        finally:
            self._working = False


def copy(value):
    """A value as the cloud will have it, and beyond the application's reach. What JSON cannot hold raises ValueError.

    NaN is such: it would never be equal to what was reported of it.
    """
    if not check(value):
        raise ValueError("JSON cannot hold it")
    return json.loads(json.dumps(value))
