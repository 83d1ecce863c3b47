# The C heap of an ESP32: Wi-Fi, sockets, Mbed TLS and each doubling of the GC heap take from it. Where it runs out, Mbed TLS
# cannot verify a signature and says "not correctly signed": so it is looked at before such a verdict is believed.
import esp32

from .faults import Fault

# Bytes, seen on ESP32 with MicroPython 1.23.0 and 1.26.1 in an emulator. 37 K free were enough for TLS, 31 K were not.
TLS = 35000  # wrap_socket takes up to 24.0 K of it (buffers of 16 K in, 4 K out), the handshake 10.2 K more at its highest
PIECE = 16896  # of it in one piece: the buffer of 16 K and its header
WIFI = 45300  # active takes 33 to 38 K, joined 6 K more
SPARE = 4096  # where less was left, a piece of a certificate or of a key may have been refused

# ENOMEM, ENOBUFS, EAI_MEMORY of lwIP, ESP_ERR_NO_MEM; Mbed TLS's MPI and ASN.1, and PSA
_CODES = const((12, 105, 203, 257, 16, 106, 141))
_MBEDTLS = const((0x7F00, 0x2880, 0x3F80, 0x4D80, 0x5180, 0x6180))  # ALLOC_FAILED of SSL, X.509, PK, ECP, MD, CIPHER


def c_heap():
    """The C heap in bytes: free, the largest free block, and the lowest that was ever free."""
    free = largest = lowest = 0
    for _, of, block, least in esp32.idf_heap_info(esp32.HEAP_DATA):
        free += of
        largest = max(largest, block)
        lowest += least
    return {"free": free, "largest": largest, "lowest": lowest}


def text():
    return "C heap %(free)d free, largest block %(largest)d, lowest %(lowest)d" % c_heap()


def shortage(what, free=0, largest=0, lowest=0):
    """The Fault out-of-memory where the C heap has, or had, less than so many bytes; else None."""
    found = c_heap()
    missing = max(free - found["free"], largest - found["largest"], lowest - found["lowest"])
    return out_of_memory(what, missing) if missing > 0 else None


def too_little_for_tls():
    """The Fault where the handshake would run out of memory, else None."""
    return shortage("TLS takes %d bytes" % TLS, TLS, PIECE)


def too_little_for_all(wifi):
    """The same, before anything of the network is there."""
    what = WIFI + TLS if wifi else TLS
    return shortage("the application is too large: the network and TLS take %d bytes" % what, what, PIECE)


def told_apart(code, what):
    """The Fault out-of-memory where an error number (without its sign) says so, else None."""
    return out_of_memory(what) if refused(code) else None


def out_of_memory(what, missing=0):
    return Fault("out-of-memory", "%s: %s%s" % (what, text(), ", %d bytes are missing" % missing if missing else ""))


def refused(code):
    """Whether an error number (without its sign) says that an allocation failed."""
    return code in _CODES or code & 0x7F80 in _MBEDTLS or (code > 0xFF and code & 0x7F in (0x10, 0x6A))
