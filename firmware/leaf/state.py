# What the device itself remembers across a reboot: small JSON files under /state, which a repair of the board keeps.
import json
import os

from .log import log

DIRECTORY = "/state"


def read(name, default):
    """What write() left, or default where there is nothing sound of the same type."""
    try:
        with open(DIRECTORY + "/" + name) as file:
            value = json.load(file)
    except (OSError, ValueError):
        return default
    return value if isinstance(value, type(default)) else default


def write(name, value):
    """Replace it. LittleFS puts the new content in place on close, whole: a power cut leaves the old or the new.

    A flash that takes no more must not take the device down with it: then nothing is remembered.
    """
    try:
        try:
            file = open(DIRECTORY + "/" + name, "w")
        except OSError:
            make_directories(DIRECTORY)
            file = open(DIRECTORY + "/" + name, "w")
        with file:
            json.dump(value, file)
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
