"""The columns of a CSV file that somebody else's program wrote: which of them holds what."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rootlet.errors import BadInput


def parse(options: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """``NAME=HEADER`` each, as the header of each name. Raises BadInput for a name that is not among ``names``."""
    found: dict[str, str] = {}
    for option in options:
        name, equals, header = (part.strip() for part in option.partition("="))
        if not (equals and header) or name not in names:
            raise BadInput(
                f"--column {option}: not NAME=HEADER with one of the names {', '.join(names)}",
                hint=f"for example --column {names[0]}='Device name'",
            )
        if name in found:
            raise BadInput(f"--column names {name} twice", hint="give each name one column")
        found[name] = header
    return found


def places(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """The index of each name's column in the file's ``header``. Capitals do not matter.

    Raises BadInput where the file has no such column, or has it twice.
    """
    there = [cell.strip().lower() for cell in header]
    for wanted in columns.values():
        if (times := there.count(wanted.lower())) != 1:
            what = "no column" if not times else f"{times} columns"
            raise BadInput(
                f"{path} has {what} {wanted!r}", hint=f"its columns are: {', '.join(cell.strip() for cell in header)}"
            )
    return {name: there.index(wanted.lower()) for name, wanted in columns.items()}
