# One line a fact on the console: "<ms since boot> <component>: <text>".
import time

_boot = time.ticks_ms()


def uptime():
    """Milliseconds since boot; wraps with ticks_ms after about 6 days."""
    return time.ticks_diff(time.ticks_ms(), _boot)


def log(component, text):
    print("%d %s: %s" % (uptime(), component, text))
