# What went wrong: one word, what was seen, and what an engineer can do about it.
from .log import log

# The words and their hints are data, read when one is needed: in RAM they would cost kilobytes.
HINTS = "/leaf/faults.txt"


class Fault(Exception):
    """Ends an attempt. word is one of faults.txt; cause says what was seen; proven, that the connection held for a while."""

    proven = False

    def __init__(self, word, cause):
        super().__init__(word, cause)
        self.word = word
        self.cause = cause


def hint(word, path=None):
    """What to do about it, or '' where the file is gone."""
    try:
        with open(path or HINTS) as lines:
            for line in lines:
                if line.startswith(word + ": "):
                    return line[len(word) + 2 :].strip()
    except OSError:
        pass
    return ""


def report(fault):
    log("fault", "%s: %s; %s" % (fault.word, fault.cause, hint(fault.word)))
