"""Where a CA's passphrase or its token's PIN may come from: a file, a descriptor, the environment, a prompt.

Never an argument: every user of the machine can read those.
"""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from rootlet.cli.options import DESCRIPTOR, PATH
from rootlet.errors import BadInput
from rootlet.files import read_input

if TYPE_CHECKING:
    from rootlet.pki.authority import Authority

Command = Callable[..., Any]


@dataclass(frozen=True)
class SecretSource:
    """Where the user put a secret. It is read when it is needed, once."""

    file: Path | None
    descriptor: int | None
    variable: str
    options: str

    def passphrase(self, what: str, *, confirm: bool = False) -> bytes:
        """Return a passphrase; ``what`` names it at the prompt, which asks twice to ``confirm``. Raises BadInput."""
        return self._read(what, f"{self.variable}_PASSPHRASE", confirm)

    def pin(self, token: str) -> bytes:
        """Return a token's PIN. Raises BadInput."""
        # A variable of its own: a passphrase tried as a PIN would bring the token closer to locking.
        return self._read(f"PIN of token {token}", f"{self.variable}_PIN", False)

    def _read(self, what: str, variable: str, confirm: bool) -> bytes:
        if self.file is not None and self.descriptor is not None:
            raise BadInput(f"{self.options}-file and {self.options}-fd together", hint="give one of them")
        if self.file is not None:
            return _first_line(read_input(self.file, f"file for the {what}"), str(self.file))
        if self.descriptor is not None:
            return self._from_descriptor(self.descriptor)
        if value := os.environ.get(variable):
            return value.encode()
        nothing = BadInput(
            f"no {what} given",
            hint=f"type it, set {variable}, or give {self.options}-file or {self.options}-fd",
        )
        if not _has_terminal():
            raise nothing
        try:
            answer: str = click.prompt(_capital(what), hide_input=True, confirmation_prompt=confirm, err=True)
        except click.Abort:
            raise nothing from None
        return answer.encode()

    def _from_descriptor(self, descriptor: int) -> bytes:
        try:
            with os.fdopen(descriptor, "rb") as stream:
                return _first_line(stream.read(), f"file descriptor {descriptor}")
        except OSError as error:
            raise BadInput(
                f"{self.options}-fd {descriptor}: {error.strerror}", hint="open it, as in 3</path/to/file"
            ) from None


def secret_options(function: Command) -> Command:
    """Add the options for a CA's passphrase or PIN; the command gets ``secret``, a SecretSource."""
    return _options(function, "secret", "--", "ROOTLET_CA", "the CA's passphrase")


def parent_secret_options(function: Command) -> Command:
    """As ``secret_options``, for the CA that signs another CA; the command gets ``parent_secret``."""
    return _options(function, "parent_secret", "--parent-", "ROOTLET_PARENT", "the parent's passphrase")


def open_authority(directory: Path, source: SecretSource) -> "Authority":
    """Open a CA, asking for whatever unlocks it. Raises BadInput or RootletError."""
    return authority_opener(directory, source)()


def authority_opener(directory: Path, source: SecretSource) -> "Callable[[], Authority]":
    """Ask once for whatever unlocks a CA, and return what opens it, as often as need be: a token may go and come back."""
    from rootlet.pki.authority import Authority, read_certificates, read_holder
    from rootlet.pki.external_key import KMS, PRIVATE_CA, TOKEN

    read_certificates(directory)  # no CA: say so before asking for its passphrase
    record = read_holder(directory)
    secret: bytes | None
    if record["holder"] in (KMS, PRIVATE_CA):
        secret = None
    elif record["holder"] == TOKEN:
        secret = source.pin(record.get("token", ""))
    else:
        secret = source.passphrase(f"passphrase of {directory}")
    return lambda: Authority.load(directory, secret)


def _options(function: Command, name: str, prefix: str, variable: str, what: str) -> Command:
    passphrase, pin = f"{prefix}passphrase", f"{prefix}pin"

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        file, descriptor = options.pop(f"{name}_file"), options.pop(f"{name}_fd")
        return function(*arguments, **{name: SecretSource(file, descriptor, variable, passphrase)}, **options)

    with_descriptor = click.option(
        f"{passphrase}-fd", f"{pin}-fd", f"{name}_fd", type=DESCRIPTOR, help="Read it from this open file descriptor."
    )(wrapped)
    return click.option(
        f"{passphrase}-file",
        f"{pin}-file",
        f"{name}_file",
        type=PATH,
        help=f"Read {what} (or its token's PIN) from a file's first line; else {variable}_PASSPHRASE"
        f" (or {variable}_PIN), else a prompt.",
    )(with_descriptor)


def _has_terminal() -> bool:
    """Whether a prompt can hide what is typed: getpass asks on the terminal even where stdin is something else."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return sys.stdin.isatty()
    return True


def _first_line(data: bytes, where: str) -> bytes:
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise BadInput(f"no passphrase in {where}", hint="put it on the first line")
    return line


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
