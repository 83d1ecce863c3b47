# The device's shadow: settings that the cloud desires, and a state that the device reports (AWS IoT: Device Shadow service).
import asyncio
import json

from .. import state
from ..faults import Fault, report
from ..log import log
from ..tasks import call, for_ever
from . import Service, part

_ANSWER = const(10)  # seconds for the answer to a request for the shadow; then the device reports without it
_AGAIN = const(30)  # seconds until an update goes again that the service was too busy for
_KEEP = const(10)  # seconds until an accepted setting is written to flash; the cloud still has it
_LONGEST = const(200)  # characters of a reason


class Shadow(Service):
    """The thing's classic shadow, or its named one. shadow[name] is a setting's value.

    In the reported state, "refused" says for each setting why a desired value was not taken.
    """

    answers = ("update/delta", "update/rejected", "get/accepted", "get/rejected")

    def __init__(self, device, name=None):
        super().__init__(device, "shadow/name/" + name if name else "shadow")
        self._file = "shadow-%s.json" % name if name else "shadow.json"
        self._functions = {}
        self._settings = {}
        self._reported = {}
        self._shown = {}  # what the cloud has as reported, as far as is known
        self._wanted = {}  # desired values, to be given to their functions
        self._work = asyncio.Event()
        self._version = 0
        self._asking = self._sending = self._unkept = False
        self._pause = 0  # seconds until something may be reported
        self._keep_in = self._ask_in = 0  # seconds

    def setting(self, name, value):
        """Decorator: call the function (or coroutine function) with each new desired value of the setting.

        It may return the value that it took instead, and raise for one that it does not take. value holds until the cloud
        has said something; then, also across a reboot, what was taken last, which the function is called with at boot.
        """

        def register(function):
            self._functions[name] = function
            self._settings[name] = self._reported[name] = _copy(value)
            return function

        return register

    def report(self, values):
        """Take values (a dict) into the reported state. None removes one. Sent when there is a connection.

        Raises ValueError for what JSON cannot hold.
        """
        self._reported.update(_copy(values))
        self._device.wake()

    def __getitem__(self, name):
        return self._settings[name]

    def bind(self, thing):
        super().bind(thing)
        kept = state.read(self._file, {})
        for name in kept:
            if name in self._functions and kept[name] != self._settings[name]:
                self._want(name, kept[name])
        asyncio.create_task(for_ever("shadow", self._follow))

    def connected(self):
        self._asking = True
        self._pause = _ANSWER
        self._device.wake()

    def next(self):
        if self._asking:
            self._asking = False
            return self.prefix + "get", b"", None
        if self._sending or self._pause:
            return None
        changed = difference(self._reported, self._shown)
        if not changed:
            return None
        self._sending = True

        def done(delivered):
            # A topic that the policy denies is given up, and so is what was to be said there.
            self._sending = False
            self._shown = merged(self._shown, changed)
            if delivered:
                log("shadow", "reported " + ", ".join(sorted(changed)))
            self._device.wake()

        return self.prefix + "update", json.dumps({"state": {"reported": changed}}), done

    def on(self, answer, document):
        if answer == "update/delta":
            self._desired(document, part(document, "state"))
        elif answer == "get/accepted":
            known = part(document, "state")
            self._desired(document, part(known, "desired"))
            self._shown = part(known, "reported")
            self._go_on()
        elif answer == "get/rejected":
            if document.get("code") == 404:  # there is none yet; what it is made with is what we report
                self._version = 0
                self._shown = {}
            else:
                self._ask_in = _AGAIN
            self._go_on()
        else:
            self._rejected(document)

    def tick(self):
        if self._ask_in:
            self._ask_in -= 1
            if not self._ask_in:
                self.connected()
        if self._pause:
            self._pause -= 1
            if not self._pause:
                self._device.wake()
        if self._unkept:
            self._keep_in -= 1
            if self._keep_in <= 0:
                self.leave()

    def leave(self):
        if self._unkept:
            self._unkept = False
            state.write(self._file, self._settings)
            log("shadow", "kept")

    def _go_on(self):
        self._pause = 0
        self._device.wake()

    def _desired(self, document, values):
        # Messages may overtake each other, and a session brings old ones: what is older than what was seen says nothing.
        version = document.get("version")
        if isinstance(version, int) and version < self._version:
            return
        self._version = version if isinstance(version, int) else 0
        for name in values:
            if name not in self._functions:
                log("shadow", "%s is desired, and no setting of this device" % name)
            elif values[name] is not None:
                value = merged(self._settings[name], values[name])
                refused = part(self._reported, "refused")
                if value != self._settings[name] or name in self._wanted or name in refused:
                    self._want(name, value)

    def _want(self, name, value):
        self._wanted[name] = value
        self._work.set()

    async def _follow(self):
        while True:
            while self._wanted:
                await self._apply(*self._wanted.popitem())
            self._work.clear()
            await self._work.wait()

    async def _apply(self, name, value):
        refused = dict(part(self._reported, "refused"))
        try:
            taken = await call(self._functions[name], value)
            taken = _copy(value if taken is None else taken)
        except Exception as error:
            reason = "%s: %s" % (type(error).__name__, error)
            log("shadow", "%s stays as it is: %s" % (name, reason))
            refused[name] = reason[:_LONGEST]
        else:
            self._settings[name] = self._reported[name] = taken
            refused.pop(name, None)
            if not self._unkept:
                self._unkept, self._keep_in = True, _KEEP
            log("shadow", name + " is set")
        if refused or "refused" in self._reported:
            self._reported["refused"] = refused or None
        self._device.wake()

    def _rejected(self, document):
        code = document.get("code")
        report(Fault("shadow-rejected", "%s: %s" % (code, document.get("message"))))
        if code in (409, 429, 500):
            self._shown = {}  # the next update says it all again
            self._pause = _AGAIN


def merged(old, new):
    """What AWS IoT makes of a value and an update of it: objects grow together, null removes."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    result = dict(old)
    for key in new:
        if new[key] is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), new[key])
    return result


def difference(new, old, prune=False):
    """The smallest update that makes new of old. Below the top, or with prune, what only old has is removed.

    At the top it stays: others may report there too.
    """
    update = {}
    for key in new:
        value, was = new[key], old.get(key)
        if isinstance(value, dict) and isinstance(was, dict):
            inner = difference(value, was, True)
            if inner:
                update[key] = inner
        elif value != was:
            update[key] = value
    for key in old if prune else ():
        if key not in new:
            update[key] = None
    return update


def _copy(value):
    # As the cloud will have it, and beyond the application's reach. What JSON cannot hold ends here: NaN would never be
    # equal to what was reported of it.
    return json.loads(json.dumps(value))
