"""The one way to say a number of things."""


def number_of(count: int, noun: str, plural: str | None = None) -> str:
    """``count`` with its noun: "1 board", "2 boards", "10,000 identities" (``plural`` where it is not noun + s)."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
