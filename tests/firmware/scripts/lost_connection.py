# What the session makes of errors of the socket.
from leaf import faults

found = []
for code in given:
    fault = faults.lost("writing", OSError(code))
    found.append([fault.word, fault.cause, fault.link])
answer(found)
