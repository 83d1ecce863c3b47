"""The thing names of a batch: from a file, or numbered."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki.batch import Entry
from rootlet.pki.columns import places
from rootlet.pki.subject import check_thing_name
from rootlet.words import number_of

COLUMNS = ("thing", "serial")
NONE: Mapping[str, str] = {}


def from_pattern(pattern: str, count: int, first: int = 1) -> list[Entry]:
    """``count`` names made of ``pattern``: its run of # becomes a zero-padded number. Raises BadInput."""
    runs = re.findall("#+", pattern)
    if len(runs) != 1:
        raise BadInput(
            f"{pattern!r} is not a pattern for names", hint="put one run of # where the number goes, as in 'sensor-#####'"
        )
    width, last = len(runs[0]), first + count - 1
    if len(str(last)) > width:
        raise BadInput(f"{last} does not fit into {runs[0]!r}", hint=f"use {'#' * len(str(last))!r}")
    before, after = pattern.split(runs[0])
    check_thing_name(f"{before}{last:0{width}}{after}")
    return [(f"{before}{str(number).zfill(width)}{after}", None) for number in range(first, last + 1)]


def from_file(path: Path, columns: Mapping[str, str] = NONE) -> list[Entry]:
    """The names in a file: one a line, or CSV with the columns thing and, optionally, serial. Raises BadInput.

    ``columns`` are the headers of these two where the file calls them otherwise; then all its other columns are ignored.
    """
    try:
        text = read_input(path, "list of names").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text", hint="save the file as UTF-8") from None
    rows = list(csv.reader(text.splitlines(keepends=True), skipinitialspace=True))
    where, start = _where(path, rows[0] if rows else [], columns)
    entries = []
    for number, row in enumerate(rows[start:], start + 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if not columns and len(cells) > len(where):
            raise BadInput(
                f"{path}, line {number}: {number_of(len(cells), 'cell')}", hint="begin with the line: thing,serial"
            )
        try:
            thing = check_thing_name(cells[where["thing"]])
        except (BadInput, IndexError) as error:
            what = error.what if isinstance(error, BadInput) else "no thing"
            raise BadInput(f"{path}, line {number}: {what}", hint=getattr(error, "hint", "name it")) from None
        at = where.get("serial")
        entries.append((thing, (cells[at] or None) if at is not None and len(cells) > at else None))
    return entries


def _where(path: Path, first: Sequence[str], columns: Mapping[str, str]) -> tuple[dict[str, int], int]:
    """The index of each column, and of the first row behind the header, where there is one."""
    if columns:
        return places(path, first, {"thing": "thing", **columns}), 1
    header = [cell.strip().lower() for cell in first]
    if "thing" not in header:
        return {"thing": 0}, 0
    if unknown := set(header) - set(COLUMNS):
        raise BadInput(
            f"{path}: unknown column {sorted(unknown)[0]!r}",
            hint="use the columns thing and serial, or say which they are: --column thing=HEADER",
        )
    return {name: at for at, name in enumerate(header)}, 1
