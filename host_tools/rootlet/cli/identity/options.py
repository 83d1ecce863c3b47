"""Options for the parts of a certificate's subject."""

import functools
from collections.abc import Callable
from typing import Any

import rich_click as click


def subject_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--organization`` and so on; the command gets ``subject``, a pki Subject."""
    return _with(function, serial=False)


def device_subject_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """As ``subject_options``, with ``--serial`` for one product."""
    return _with(function, serial=True)


def _with(function: Callable[..., Any], *, serial: bool) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        from rootlet.pki.subject import Subject

        parts = {name: options.pop(name, None) for name in Subject.__dataclass_fields__}
        return function(*arguments, subject=Subject(**parts), **options)

    choices = [
        click.option("--organization", "-O", help="Organization (O): AWS IoT policies can tell customers apart by it."),
        click.option("--unit", "organizational_unit", help="Organizational unit (OU): a batch, a product line."),
        click.option("--country", help="Country (C), two letters."),
        click.option("--state", help="State or province (ST)."),
        click.option("--dn-qualifier", help="Distinguished name qualifier."),
    ]
    if serial:
        choices.append(click.option("--serial", "serial_number", help="serialNumber: the product's, not the certificate's."))
    decorated: Callable[..., Any] = wrapped
    for choice in reversed(choices):
        decorated = choice(decorated)
    return decorated
