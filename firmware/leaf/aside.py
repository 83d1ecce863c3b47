# What is done about a file that the flash does not give or take. In RAM only then.
import os

from .faults import Fault
from .state import make_directories
from .trouble import keep


def of(path, why):
    """Report a file of /state that cannot be read or is damaged, and give it another name."""
    report(path, why + ": left out")
    try:
        os.rename(path, path + ".bad")
    except OSError:
        pass  # the next boot tries again


def segment(log, segment, error):
    """Do without a segment that cannot be read, and move it to where no boot looks for one."""
    path = log.path(segment.number)
    report(path, "cannot be read and is left out (%s)" % error)
    log.damaged += 1
    if log.segment is segment:
        log.close()
    log.segments.remove(segment)
    try:
        make_directories(log.directory + ".bad")
        os.rename(path, "%s.bad/%d" % (log.directory, segment.number))
    except OSError:
        pass


def report(path, what):
    """Tell the cloud."""
    keep(Fault("storage", path + " " + what))
