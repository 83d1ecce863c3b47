# Prints how much of the heap is alive, as the virtual board's shim counts it.
import c_heap  # type: ignore[import-not-found]  # a shim of the virtual board
from leaf import Device

device = Device()


@device.telemetry(every=0.2)
def reading():
    c_heap.live()
    print("%d bytes alive" % c_heap.highest)
    return {}


device.run()
