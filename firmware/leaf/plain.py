# What JSON cannot hold, which MicroPython's json.dumps writes as it is: nan, inf, bytearray(b''), {1, 2}, <object>. In RAM
# only when something holds such a thing.
from .log import log


def plain(value, where):
    """A copy of value in which null stands for what JSON cannot hold, after a line for each. Keys become texts."""
    if isinstance(value, dict):
        return {str(key): plain(value[key], "%s.%s" % (where, key)) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(value[number], "%s[%d]" % (where, number)) for number in range(len(value))]
    kind = type(value)
    if value is None or kind in (int, str, bool) or (kind is float and value - value == 0):
        return value
    shown = value if kind is float else "of type " + kind.__name__
    log("json", "%s is %s, which JSON cannot hold: null in its place" % (where, shown))
    return None
