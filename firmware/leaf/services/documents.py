# The documents of the services: JSON objects, of which any part may be missing or of another type.
import json

from ..log import log
from ..modules import use

_DEEPEST = const(10)  # levels of nesting; AWS IoT: a shadow has 8 below "state" and its half. More would cost the C stack.


def parse(topic, payload):
    """The JSON object in a payload (bytes), or None, after a line that says so, where it is not one that may be used."""
    document = _parse(payload)
    if document is None:
        log("services", "what came to %s is ignored: no JSON object of at most %d levels that fits" % (topic, _DEEPEST))
    return document


def _parse(payload):
    # None for what is not a JSON object, or one nested so deeply that it would be a danger; or what the heap cannot hold:
    # to fail would leave it unacknowledged, and the server would deliver it for ever.
    if use("nesting", "check", payload, _DEEPEST):
        return None
    try:
        document = json.loads(payload)
    except (ValueError, MemoryError):
        return None
    return document if isinstance(document, dict) else None


def part(document, name):
    """A part of a document that must be an object; {} where it is something else."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}
