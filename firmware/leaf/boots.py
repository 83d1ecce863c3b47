# The count of boots that came to nothing, which leads to safe mode; and why this boot came to be.
import os

from . import state

_FILE = const("boots.json")
_RESETS = const(("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT"))


def count_boot():
    """To be called once at boot. Returns how many boots failed in a row before this one, for this very code.

    A boot fails when a reset ends it (watchdog, panic, the application's exception) before it was healthy for a minute.
    Somebody who plugs a board in and out is no failure.
    """
    import machine

    code = _code()
    failed, unproven, of = _read()
    if of != code:
        failed, unproven = 0, False
    if unproven and machine.reset_cause() not in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
        failed += 1
    _write(failed, True, code)
    return failed


def proven():
    """This boot did not fail."""
    failed, unproven, code = _read()
    if failed or unproven:
        _write(0, False, code)


def failed():
    """The reset that comes is this boot's failure, though it was healthy for a minute."""
    count, unproven, code = _read()
    if not unproven:
        _write(count, True, code)


def reset_cause():
    """Why this boot came to be: "pwron", "hard", "wdt", "deepsleep", "soft", or a port's own number."""
    import machine

    cause = machine.reset_cause()
    for name in _RESETS:
        if getattr(machine, name + "_RESET", None) == cause:
            return name.lower()
    return str(cause)


def _read():
    found = state.read(_FILE, [])
    return found if len(found) == 3 and isinstance(found[0], int) else [0, False, None]


def _write(failed, unproven, code):
    state.write(_FILE, [failed, unproven, code])


def _code():
    # New code deserves a new count: a board repaired by a push must not stay in safe mode.
    seen = []
    for name in ("/app.mpy", "/rom/app.mpy", "/build.json"):
        try:
            seen.append(str(os.stat(name)[6:9]))
        except OSError:
            seen.append("")
    return "".join(seen)
