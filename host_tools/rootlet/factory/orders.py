"""The file of a batch, checked completely before anything is entered."""

import csv
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rootlet import aws_names
from rootlet.aws_names import ATTRIBUTES, Name
from rootlet.errors import BadInput
from rootlet.factory.plan import NewIdentity
from rootlet.files import read_input
from rootlet.pki import names
from rootlet.pki.subject import Subject, check_thing_name
from rootlet.words import are, number_of

SHARED = ("board", "ca", "customer", "registration")
"""Columns with the same value in every row: they belong to the batch."""

_SHOWN = 20


@dataclass(frozen=True)
class BatchOrder:
    """The content of a batch's file. ``shared`` has its columns of SHARED; ``rows`` has each identity's row."""

    identities: tuple[NewIdentity, ...]
    rows: tuple[int, ...]
    shared: Mapping[str, str] = field(default_factory=dict)

    def refuse_known(self, source: str, known: Collection[str]) -> None:
        """Raise BadInput, with rows, for things that are already in the ledger."""
        problems = _Problems(source)
        for identity, row in zip(self.identities, self.rows, strict=True):
            if identity.thing in known:
                problems.add(row, "thing", f"{identity.thing} is already in the ledger")
        problems.refuse()


class _Problems:
    """Collects all invalid cells of a file."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[str] = []

    def add(self, row: int, column: str, what: str) -> None:
        self._found.append(f"row {row}, column {column}: {what}")

    def check(self, row: int, column: str, rule: Callable[[], object]) -> bool:
        """Whether ``rule`` accepts a cell; an invalid one is collected."""
        try:
            rule()
        except BadInput as error:
            self.add(row, column, f"{error.what} ({error.hint})" if error.hint else error.what)
            return False
        return True

    def refuse(self) -> None:
        if not self._found:
            return
        shown = self._found[:_SHOWN]
        if len(self._found) > _SHOWN:
            shown.append(f"and {len(self._found) - _SHOWN} more")
        cells = f"{number_of(len(self._found), 'cell')} {are(len(self._found))}"
        raise BadInput(
            "\n  ".join([f"{self._source}: {cells} not valid", *shown]),
            hint="correct the cells and open the batch again; nothing was entered",
        )


def from_pattern(pattern: str, count: int, first: int = 1) -> BatchOrder:
    """``count`` numbered things. Raises BadInput."""
    entries = names.from_pattern(pattern, count, first)
    return BatchOrder(tuple(NewIdentity(thing) for thing, _ in entries), tuple(range(1, count + 1)))


def from_csv(path: Path) -> BatchOrder:
    """The order in a CSV file. Its header has ``thing`` or ``serial`` (the serial number is then the thing name), any of
    SHARED, and any other column as an attribute. Rows are numbered as in a spreadsheet.

    Raises BadInput, which lists every invalid cell.
    """
    rows = _rows(path)
    header = [cell.strip() for cell in rows[0]] if rows else []
    _check_header(path, header)
    problems = _Problems(str(path))
    read = _Reader(header, problems)
    for number, cells in enumerate(rows[1:], 2):
        if any(cell.strip() for cell in cells):
            read.row(number, [cell.strip() for cell in cells])
    problems.refuse()
    if not read.identities:
        raise BadInput(f"{path} has no rows", hint="add a row for each board")
    return BatchOrder(tuple(read.identities), tuple(read.rows), read.shared)


class _Reader:
    def __init__(self, header: list[str], problems: _Problems) -> None:
        self._header = header
        self._attributes = [name for name in header if name.lower() not in ("thing", "serial", *SHARED)]
        self._problems = problems
        self._seen: dict[tuple[str, str], int] = {}
        self._first: dict[str, tuple[str, int]] = {}
        self.identities: list[NewIdentity] = []
        self.rows: list[int] = []

    @property
    def shared(self) -> dict[str, str]:
        return {name: value for name, (value, _) in self._first.items() if value}

    def row(self, number: int, cells: list[str]) -> None:
        if len(cells) > len(self._header):
            self._problems.add(number, str(len(self._header) + 1), "the header has no such column")
            return
        cells += [""] * (len(self._header) - len(cells))
        values = dict(zip(self._header, cells, strict=True))
        by_name = {name.lower(): value for name, value in values.items()}
        for name in SHARED:
            self._share(number, name, by_name.get(name))
        serial = by_name.get("serial") or None
        named_by = "thing" if "thing" in by_name else "serial"
        thing = by_name[named_by]
        good = self._problems.check(number, named_by, lambda: check_thing_name(thing))
        if serial is not None:
            good &= self._problems.check(number, "serial", lambda: Subject(serial_number=serial))
            good &= self._once(number, "serial", serial)
        if named_by == "thing":
            good &= self._once(number, "thing", thing)
        attributes = {name: values[name] for name in self._attributes if values[name]}
        for name, value in attributes.items():
            good &= self._problems.check(number, name, lambda value=value: aws_names.check(Name.VALUE, value))  # type: ignore[misc]
        if good:
            self.identities.append(NewIdentity(thing, attributes, serial))
            self.rows.append(number)

    def _once(self, number: int, column: str, value: str) -> bool:
        first = self._seen.setdefault((column, value), number)
        if first != number:
            self._problems.add(number, column, f"{value} is already in row {first}")
        return first == number

    def _share(self, number: int, column: str, value: str | None) -> None:
        if value is None:
            return
        first, row = self._first.setdefault(column, (value, number))
        if value != first:
            self._problems.add(
                number, column, f"{value or 'nothing'}, but row {row} has {first or 'nothing'}: a batch has one value"
            )


def _rows(path: Path) -> list[list[str]]:
    try:
        text = read_input(path, "batch file").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8", hint="save the file as CSV in UTF-8") from None
    first = text.partition("\n")[0]
    # Spreadsheets write semicolons where the comma is the decimal separator.
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        return list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise BadInput(f"{path} is not a CSV file: {error}", hint="save the file as CSV in UTF-8") from None


def _check_header(path: Path, header: list[str]) -> None:
    problems = _Problems(str(path))
    lower = [name.lower() for name in header]
    if "thing" not in lower and "serial" not in lower:
        raise BadInput(f"{path}: row 1 has no column thing or serial", hint="begin with a header, such as thing,serial")
    for at, name in enumerate(header):
        if not name:
            problems.add(1, str(at + 1), "it has no name")
        elif lower.index(lower[at]) != at:
            problems.add(1, name, "it occurs twice")
        elif lower[at] not in ("thing", "serial", *SHARED):
            problems.check(1, name, lambda name=name: aws_names.check(Name.ATTRIBUTE, name))  # type: ignore[misc]
    attributes = _attributes(lower)
    if len(attributes) > ATTRIBUTES:
        what = f"{len(attributes)} attributes ({', '.join(attributes)}), but a thing without a type may have {ATTRIBUTES}"
        problems.add(1, attributes[ATTRIBUTES], what)
    problems.refuse()


def _attributes(header: Iterable[str]) -> list[str]:
    return [name for name in header if name not in ("thing", "serial", *SHARED)]
