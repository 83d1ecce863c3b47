"""The factory line: every board exactly one identity, every identity at most one board, and books that prove it."""
