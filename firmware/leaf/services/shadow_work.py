# What is done with a shadow's documents. In RAM while one is received, applied or sent.
from .. import state
from ..faults import Fault, report
from ..log import log
from ..tasks import call
from .documents import part
from .shadow import AGAIN, copy

_KEEP = const(10)  # seconds until an accepted setting is written to flash
_LONGEST = const(200)  # characters of a reason


def on(shadow, answer, document):
    """A document came on the topic that ends with answer."""
    if answer == "update/delta":
        _desired(shadow, document, part(document, "state"))
    elif answer == "get/accepted":
        known = part(document, "state")
        _desired(shadow, document, part(known, "desired"))
        shadow.shown = part(known, "reported")
        _go_on(shadow)
    elif answer == "get/rejected":
        if document.get("code") == 404:  # there is none yet; what it is made with is what we report
            shadow.version = 0
            shadow.shown = {}
        else:
            shadow.ask_in = AGAIN
        _go_on(shadow)
    else:
        _rejected(shadow, document)


def sent(shadow, update):
    """The update is with the cloud."""
    shadow.shown = merged(shadow.shown, update)
    log("shadow", "reported " + ", ".join(sorted(update)))
    shadow.wake()


def keep(file, settings):
    state.write(file, settings)
    log("shadow", "kept")


def _go_on(shadow):
    shadow.pause = 0
    shadow.wake()


def _desired(shadow, document, values):
    # Messages may overtake each other, and a session brings old ones: what is older than what was seen says nothing.
    version = document.get("version")
    if isinstance(version, int) and version < shadow.version:
        return
    shadow.version = version if isinstance(version, int) else 0
    for name in values:
        if name not in shadow.functions:
            log("shadow", "%s is desired, and no setting of this device" % name)
        elif values[name] is not None:
            value = merged(shadow.settings[name], values[name])
            refused = part(shadow.reported, "refused")
            if value != shadow.settings[name] or name in shadow.wanted or name in refused:
                shadow.want(name, value)


async def follow(shadow):
    """Give the wanted values to their functions."""
    while shadow.wanted:
        await _apply(shadow, *shadow.wanted.popitem())


async def _apply(shadow, name, value):
    refused = dict(part(shadow.reported, "refused"))
    try:
        taken = await call(shadow.functions[name], value)
        taken = copy(value if taken is None else taken)
    except Exception as error:
        reason = "%s: %s" % (type(error).__name__, error)
        log("shadow", "%s stays as it is: %s" % (name, reason))
        refused[name] = reason[:_LONGEST]
    else:
        shadow.settings[name] = shadow.reported[name] = taken
        refused.pop(name, None)
        shadow.keep_in = shadow.keep_in or _KEEP
        log("shadow", name + " is set")
    if refused or "refused" in shadow.reported:
        shadow.reported["refused"] = refused or None
    shadow.wake()


def _rejected(shadow, document):
    code = document.get("code")
    report(Fault("shadow-rejected", "%s: %s" % (code, document.get("message"))))
    if code in (409, 429, 500):
        shadow.shown = {}  # the next update says it all again
        shadow.pause = AGAIN


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
