# Reads credential partitions out of files as leaf does out of flash: their certificate and key, or the fault.
import binascii

from leaf import credentials
from leaf.faults import Fault


class Partition:
    def __init__(self, path):
        self.data = open(path, "rb").read()

    def info(self):
        return (0x3F, 0, 0, len(self.data), "esp_secure_cert", False)

    def readblocks(self, block, buffer, offset):
        at = block * 4096 + offset
        buffer[:] = self.data[at : at + len(buffer)]


def read(path):
    try:
        parts = credentials._read_entries(Partition(path))
    except Fault as fault:
        return str(fault)
    return {str(kind): binascii.hexlify(parts[kind]).decode() for kind in parts}


answer([read(path) for path in given])
