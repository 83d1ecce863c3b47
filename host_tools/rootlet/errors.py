"""The one way Rootlet refuses: what is wrong, and a hint."""


class RootletError(Exception):
    """Something failed. ``what`` names the thing; ``hint`` says what the user can do.

    Never put key material, a passphrase or a PIN in either.
    """

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class BadInput(RootletError):  # noqa: N818 - reads as what it is where it is raised
    """The user's input cannot be used; nothing was done."""

    exit_code = 2
