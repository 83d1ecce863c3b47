# What the device itself remembers across a reboot: small JSON files under /state, which a repair of the board keeps.
import errno
import json
import os

from .log import log
from .modules import use

DIRECTORY = "/state"
_LARGEST = const(16384)  # bytes
_DEEPEST = const(10)  # levels of nesting


def read(name, default):
    """What write() left, or default where there is nothing sound of the same type. Raises nothing.

    What is not sound is reported, and set aside as name.bad, so that it is in nobody's way at the next boot.
    """
    path = DIRECTORY + "/" + name
    try:
        size = os.stat(path)[6]
        if size > _LARGEST:
            raise ValueError
        with open(path, "rb") as file:
            data = file.read(size)  # allots as many bytes as it is asked for
        if use("nesting", "check", data, _DEEPEST):
            raise ValueError
        value = json.loads(data)
        if isinstance(value, type(default)):
            return value
        why = "does not hold what it should"
    except OSError as error:
        if error.errno == errno.ENOENT:
            return default
        why = "cannot be read (%s)" % error
    except ValueError:
        why = "is damaged, or nested too deeply"
    except MemoryError:  # which need not be the file's fault: the heap may have room for it another time
        log("state", path + " does not fit into the heap: left out")
        return default
    use("aside", "of", path, why)
    return default


def write(name, value):
    """Replace it. LittleFS puts the new content in place on close, whole: a power cut leaves the old or the new.

    A flash that takes no more must not take the device down with it: then nothing is remembered.
    """
    text = json.dumps(value)  # first: with no memory for it, half of it would be left in the file
    try:
        try:
            file = open(DIRECTORY + "/" + name, "w")
        except OSError:
            make_directories(DIRECTORY)
            file = open(DIRECTORY + "/" + name, "w")
        with file:
            file.write(text)
    except OSError as error:
        log("state", "%s cannot be kept (%s)" % (name, error))


def make_directories(path):
    """Like mkdir -p."""
    made = ""
    for part in path.strip("/").split("/"):
        made += "/" + part
        try:
            os.mkdir(made)
        except OSError:
            pass  # there already; where it cannot be made, writing into it says so
