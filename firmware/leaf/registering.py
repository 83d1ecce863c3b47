# What the decorators of a Device do. In RAM only while an application is imported.


def telemetry(device, every, full):
    """As Device.telemetry()."""

    def register(function):
        device.rules[function.__name__] = full
        device.telemetries.append((function.__name__, function, every))
        return function

    return register


def entry(table, name, limit=None):
    """What Device.command() and Device.subscribe() return. limit: seconds that a command may take."""

    def register(function):
        table[name] = (function, limit) if limit else function
        return function

    return register
