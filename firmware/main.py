# Runs at every boot.
import gc

import machine

gc.threshold(8192)  # bytes: collect often, so that what stays lies close together and the heap need not grow

try:
    from leaf.start import run

    run("app")  # the application: it makes a leaf.Device and runs it
except Exception:
    # Not even the report of what went wrong fitted into the heap. At the prompt the board would stay for good.
    machine.reset()
