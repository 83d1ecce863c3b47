"""The factory line: every board exactly one identity, every identity at most one board, and books that prove it."""

from rootlet.extras import require

require("factory", "the factory line")
