"""The factory line: every board exactly one identity, every identity at most one board, and a ledger that proves it."""

from rootlet.extras import require

require("factory", "the factory line")
