# Resets the chip instead of coming back.
import time

import machine
from leaf import Device, faults

time.sleep(20)  # of its own: longer off than between two looks at whether it still runs
told = faults.report


def report(fault):
    told(fault)
    if fault.word == "protocol":
        machine.reset()


faults.report = report
Device().run()
