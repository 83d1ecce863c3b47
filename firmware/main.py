# Runs at every boot.
import gc

gc.threshold(8192)  # bytes: collect often, so that what stays lies close together and the heap need not grow

from leaf.start import run  # noqa: E402

run("app")  # the application: it makes a leaf.Device and runs it
