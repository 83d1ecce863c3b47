# Runs at every boot.
import app  # noqa: F401 - the application: it makes a leaf.Device and runs it
