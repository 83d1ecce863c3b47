"""The one way to say a number of things."""


def number_of(count: int, noun: str) -> str:
    """``count`` with its noun, which forms its plural with -s or -ies: "1 board", "2 boards", "2 identities"."""
    if count == 1:
        return f"1 {noun}"
    ends_in_ies = noun.endswith("y") and noun[-2] not in "aeiou"
    return f"{count} {noun[:-1]}ies" if ends_in_ies else f"{count} {noun}s"


def are(count: int, singular: str = "is", plural: str = "are") -> str:
    """The verb that goes with ``count`` things."""
    return singular if count == 1 else plural
