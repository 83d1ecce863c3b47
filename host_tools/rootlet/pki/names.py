"""The thing names of a batch: from a file, or numbered."""

import csv
import re
from pathlib import Path

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki.batch import Entry
from rootlet.pki.subject import check_thing_name
from rootlet.words import number_of


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
    return [(f"{before}{number:0{width}}{after}", None) for number in range(first, last + 1)]


def from_file(path: Path) -> list[Entry]:
    """The names in a file: one a line, or CSV with the columns thing and, optionally, serial. Raises BadInput."""
    try:
        text = read_input(path, "list of names").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text", hint="save the file as UTF-8") from None
    rows = list(csv.reader(text.splitlines(keepends=True), skipinitialspace=True))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    columns = {"thing": 0}
    start = 0
    if "thing" in header:
        columns, start = {name: at for at, name in enumerate(header)}, 1
        if unknown := set(header) - {"thing", "serial"}:
            raise BadInput(f"{path}: unknown column {sorted(unknown)[0]!r}", hint="use the columns thing and serial")
    entries = []
    for number, row in enumerate(rows[start:], start + 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) > len(columns):
            raise BadInput(
                f"{path}, line {number}: {number_of(len(cells), 'cell')}", hint="begin with the line: thing,serial"
            )
        try:
            thing = check_thing_name(cells[columns["thing"]])
        except (BadInput, IndexError) as error:
            what = error.what if isinstance(error, BadInput) else "no thing"
            raise BadInput(f"{path}, line {number}: {what}", hint=getattr(error, "hint", "name it")) from None
        serial = cells[columns["serial"]] if "serial" in columns and len(cells) > columns["serial"] else ""
        entries.append((thing, serial or None))
    return entries
