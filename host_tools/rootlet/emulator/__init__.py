"""The virtual board: a flash file, booted by MicroPython's Unix port."""
