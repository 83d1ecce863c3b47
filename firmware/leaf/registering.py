# What the decorators of a Device do. In RAM only while an application is imported.
_LONGEST = const(500000)  # seconds; a wait in asyncio overflows at 6 days


def telemetry(device, every, full):
    """As Device.telemetry()."""

    def register(function):
        device.rules[function.__name__] = full
        device.telemetries.append((function.__name__, function, every))
        return function

    return register


def command(device, name, limit):
    """As Device.command()."""
    if not 0 < limit < _LONGEST:
        raise ValueError("command %s: timeout=%s is not a number of seconds above 0, and below %d" % (name, limit, _LONGEST))

    def register(function):
        device.commands[name] = function, limit
        return function

    return register


def entry(table, name):
    """What Device.subscribe() returns."""

    def register(function):
        table[name] = function
        return function

    return register
