# What went wrong: one word, what was seen, and what an engineer can do about it.
from .log import log

waiting: "list | None" = None  # faults to be reported to the cloud, which the device notes soon (trouble.py)


def data(name):
    """Open one of leaf's own files: the one in vfs, which a push may have brought, or the one of the image's ROMFS."""
    try:
        return open("/leaf-data/" + name)
    except OSError:
        return open("/rom/leaf-data/" + name)


class Fault(Exception):
    """Ends an attempt. word is one of faults.txt; cause says what was seen; proven, that the connection held for a while.

    link: the network's own doing, so nothing that the server refuses. topic: what is published there may be the reason.
    """

    proven = False
    link = False
    topic = None

    def __init__(self, word, cause):
        super().__init__(word, cause)
        self.word = word
        self.cause = cause


def number(error):
    """The number of an OSError without its sign (a TLS socket's are negative), or 0."""
    return abs(error.errno) if isinstance(error.errno, int) else 0


def lost(what, error):
    """The Fault of a connection that ends in an OSError."""
    code = number(error)
    fault = Fault("connection-lost", "%s failed (%d)" % (what, code))
    fault.link = code < 256 and code not in (32, 104)  # EPIPE and ECONNRESET are the server's, as are the errors of TLS
    return fault


def hint(word, path=None):
    """What to do about it, or '' where the file is gone."""
    # The words and their hints are data, read when one is needed: in RAM they would cost kilobytes.
    try:
        with open(path) if path else data("faults.txt") as lines:
            for line in lines:
                if line.startswith(word + ": "):
                    return line[len(word) + 2 :].strip()
    except OSError:
        pass
    return ""


def report(fault):
    log("fault", "%s: %s; %s" % (fault.word, fault.cause, hint(fault.word)))
