# Runs at every boot: the log counts from here, then the application takes over.
from leaf import log  # noqa: F401
import app  # noqa: F401
