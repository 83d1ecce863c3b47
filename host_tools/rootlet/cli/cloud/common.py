"""What the cloud commands share besides their options: attributes, certificates, and what a run changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from rootlet.cli.output import emit_json, out
from rootlet.errors import BadInput

if TYPE_CHECKING:
    from cryptography import x509


def pairs(attributes: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` each. Raises BadInput."""
    found = {}
    for attribute in attributes:
        name, equals, value = attribute.partition("=")
        if not (name and equals):
            raise BadInput(f"--attribute {attribute}: not NAME=VALUE", hint="for example site=north")
        found[name] = value
    return found


def first_certificate(path: Path) -> "x509.Certificate":
    """The first certificate in a PEM file. Raises BadInput."""
    from rootlet.pki.identity import load_certificates

    return load_certificates(path)[0]


def show_changes(result: dict[str, Any], changes: list[str], nothing: str, as_json: bool) -> None:
    """Print ``result`` as JSON, or each change; ``nothing`` where there is none."""
    if as_json:
        emit_json(result)
        return
    for change in changes:
        out.print(escape(change))
    if not changes:
        out.print(escape(nothing))
