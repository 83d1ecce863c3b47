"""The one way Rootlet refuses: what is wrong, and the way out."""


class RootletError(Exception):
    """Something failed. ``what`` names the thing; ``way_out`` says what the user can do.

    Never put key material, a passphrase or a PIN in either.
    """

    exit_code = 1

    def __init__(self, what: str, *, way_out: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.way_out = way_out


class BadInput(RootletError):  # noqa: N818 - reads as what it is where it is raised
    """The user's input cannot be used; nothing was done."""

    exit_code = 2
