"""Labels: a QR code and lines of text, as PNG, as a PDF sheet, and in ZPL for label printers.

The text of a label is a template over fields of the ledger, which has no secrets.
"""

import io
import re
import socket
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import segno
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from rootlet.errors import BadInput, RootletError
from rootlet.factory.records import IdentityRecord
from rootlet.files import write_atomic
from rootlet.words import number_of

FIELDS = ("thing", "serial", "mac", "batch", "customer", "certificate_id")
QUIET = 4
"""The quiet zone around a QR code, in modules (ISO/IEC 18004)."""

_PRINT_SECONDS = 5


@dataclass(frozen=True)
class Content:
    """The content of a label: the QR code's text, and lines of text, the first one large."""

    code: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """A label in millimetres, and a printer's dots a millimetre (8 is 203 dpi)."""

    width: float = 50
    height: float = 25
    dots: int = 8


@dataclass(frozen=True)
class Sheet:
    """Labels on a page of A4: how many across and down, and the margins and gaps in millimetres."""

    columns: int = 3
    rows: int = 9
    left: float = 15
    top: float = 21
    gap: float = 10


class Template:
    """The template of labels.

    ``code`` and ``text`` may contain {thing}, {serial}, {mac}, {batch}, {customer}, {certificate_id} and {attributes[x]}.

    A line of ``text`` whose fields are all empty is left out. Raises BadInput for any other field.
    """

    def __init__(self, code: str = "{thing}", text: str = "{thing}\nSN {serial}\n{mac}") -> None:
        self._code = code
        self._lines = text.replace("\\n", "\n").splitlines()
        for part in (code, *self._lines):
            _fields(part)

    def fill(self, record: IdentityRecord, customer: str) -> Content:
        values = {name: getattr(record, name, None) or "" for name in FIELDS} | {"customer": customer}
        every: dict[str, Any] = {**values, "attributes": _Attributes(record.attributes)}
        lines = []
        for line in self._lines:
            used = _fields(line)
            if not used or any(_value(field, every) for field in used):
                lines.append(line.format_map(every))
        return Content(self._code.format_map(every), tuple(lines))


class _Attributes(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return ""


def _fields(template: str) -> list[str]:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise BadInput(f"the label's {template!r} is not a valid template: {error}", hint="write {{ for a brace") from None
    for field in fields:
        # These fields only: str.format would follow attributes of our objects.
        if field not in FIELDS and not re.fullmatch(r"attributes\[[^\]]+\]", field):
            raise BadInput(f"a label has no field {field!r}", hint=f"use {', '.join(FIELDS)} or attributes[NAME]")
    return fields


def _value(field: str, values: Mapping[str, Any]) -> str:
    name, _, key = field.partition("[")
    return str(values[name][key.rstrip("]")] if key else values[name])


def png(content: Content, size: Size = Size()) -> bytes:
    """A PNG of ``size``, black on white."""
    width, height = round(size.width * size.dots), round(size.height * size.dots)
    picture = Image.new("1", (width, height), 1)
    draw = ImageDraw.Draw(picture)
    matrix = _matrix(content.code)
    scale = max(1, height // (len(matrix) + 2 * QUIET))
    side = scale * (len(matrix) + 2 * QUIET)
    if side > min(width, height):
        raise BadInput(f"the QR code of {content.code!r} does not fit on the label", hint="use a larger label, or less text")
    top = (height - side) // 2
    for row, modules in enumerate(matrix):
        for column, dark in enumerate(modules):
            if dark:
                x, y = (column + QUIET) * scale, top + (row + QUIET) * scale
                draw.rectangle((x, y, x + scale - 1, y + scale - 1), fill=0)
    room = width - side - size.dots
    y = top + QUIET * scale
    for at, line in enumerate(content.lines):
        font = _font(draw, line, room, height / (5 if at == 0 else 8))
        draw.text((side, y), line, font=font, fill=0)
        y += round(draw.textbbox((0, 0), "Åg", font=font)[3] * 1.25)
    stream = io.BytesIO()
    picture.save(stream, "PNG", dpi=(size.dots * 25.4, size.dots * 25.4))
    return stream.getvalue()


def encode(contents: Sequence[Content], suffix: str, size: Size, sheet: "Sheet") -> bytes:
    """Labels as a file of that suffix: .pdf and .zpl hold any number, .png one. Raises BadInput."""
    if suffix == ".pdf":
        return pdf(contents, size, sheet)
    if suffix == ".zpl":
        return "".join(zpl(content, size) for content in contents).encode()
    if suffix == ".png" and len(contents) == 1:
        return png(contents[0], size)
    raise BadInput(
        f"{number_of(len(contents), 'label')} cannot be written as {suffix or 'a file without a suffix'}",
        hint="end the file's name with .pdf or .zpl; one label alone: .png",
    )


def pdf(contents: Sequence[Content], size: Size = Size(), sheet: Sheet = Sheet()) -> bytes:
    """A PDF with as many sheets of A4 as are needed; codes and text are vectors."""
    _check_sheet(size, sheet)
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=A4, invariant=True)
    canvas.setTitle("labels")
    per_page = sheet.columns * sheet.rows
    for number, content in enumerate(contents):
        if number and number % per_page == 0:
            canvas.showPage()
        row, column = divmod(number % per_page, sheet.columns)
        x = (sheet.left + column * (size.width + sheet.gap)) * mm
        y = A4[1] - (sheet.top + (row + 1) * size.height) * mm
        _draw(canvas, content, x, y, size)
    canvas.save()
    return stream.getvalue()


def zpl(content: Content, size: Size = Size()) -> str:
    """The label in ZPL II, for printers of Zebra and compatible ones."""
    width, height = round(size.width * size.dots), round(size.height * size.dots)
    modules = len(_matrix(content.code))
    # ^BQ magnifies by 1 to 10, and places the code 10 dots below its origin.
    scale = min(10, max(1, (height - 20) // (modules + 2)))
    left = scale * modules + 4 * size.dots
    parts = [
        "^XA",
        "^CI28",
        f"^PW{width}",
        f"^LL{height}",
        f"^FO{2 * size.dots},10^BQN,2,{scale}^FH^FDMA,{_hex(content.code)}^FS",
    ]
    y, room = 2 * size.dots, width - left - size.dots
    for at, line in enumerate(content.lines):
        # Font 0 is about half as wide as it is high.
        dots = min(height // (5 if at == 0 else 8), 2 * room // max(1, len(line)))
        parts.append(f"^FO{left},{y}^A0N,{dots},{dots}^FH^FD{_hex(line)}^FS")
        y += round(dots * 1.25)
    return "\n".join([*parts, "^XZ"]) + "\n"


class Printer:
    """The destination of labels: files in a directory, a printer's network port, or a printer's device file."""

    def __init__(self, place: str, kind: str, template: Template, customer: str, size: Size) -> None:
        self._place = place
        self._kind = kind
        self._template = template
        self._customer = customer
        self._size = size
        if urlsplit(place).scheme == "tcp" and not urlsplit(place).hostname:
            raise BadInput(f"{place} is not the address of a printer", hint="tcp://printer:9100")

    def __call__(self, record: IdentityRecord) -> None:
        """Print the label of ``record``. Raises RootletError or OSError where printing fails."""
        content = self._template.fill(record, self._customer)
        data = png(content, self._size) if self._kind == "png" else zpl(content, self._size).encode()
        address = urlsplit(self._place)
        if address.scheme == "tcp":
            self._send(address.hostname or "", address.port or 9100, data)
        elif Path(self._place).is_char_device():
            Path(self._place).write_bytes(data)
        else:
            directory = Path(self._place)
            directory.mkdir(parents=True, exist_ok=True)
            write_atomic(directory / f"{record.thing.replace(':', '_')}.{self._kind}", data)

    def _send(self, host: str, port: int, data: bytes) -> None:
        try:
            with socket.create_connection((host, port), _PRINT_SECONDS) as printer:
                printer.sendall(data)
        except OSError as error:
            raise RootletError(
                f"the label printer {host}:{port} does not accept the label: {error}",
                hint="check the printer, then connect the board again",
            ) from None


def _matrix(code: str) -> list[list[int]]:
    try:
        made = segno.make_qr(code, error="m", boost_error=False)
    except (segno.DataOverflowError, ValueError) as error:
        raise BadInput(f"{code[:40]!r} does not fit into a QR code: {error}", hint="use a shorter text") from None
    return [[int(bool(dark)) for dark in row] for row in made.matrix]


def _font(draw: ImageDraw.ImageDraw, line: str, room: float, wanted: float) -> Any:
    """Pillow's own font, of size ``wanted`` or smaller, so that the line fits into ``room``."""
    full = draw.textlength(line, font=ImageFont.load_default(wanted)) or 1.0
    return ImageFont.load_default(max(6.0, wanted * min(1.0, room / full)))


def _check_sheet(size: Size, sheet: Sheet) -> None:
    wide = sheet.left + sheet.columns * size.width + (sheet.columns - 1) * sheet.gap
    high = sheet.top + sheet.rows * size.height
    if wide * mm > A4[0] + 1 or high * mm > A4[1] + 1:
        raise BadInput(
            f"{sheet.columns} by {sheet.rows} labels of {size.width:g} by {size.height:g} mm do not fit on A4",
            hint="use fewer or smaller labels a page",
        )


def _draw(canvas: Canvas, content: Content, x: float, y: float, size: Size) -> None:
    matrix = _matrix(content.code)
    side = min(size.height, size.width) * mm
    module = side / (len(matrix) + 2 * QUIET)
    for row, modules in enumerate(matrix):
        for column, dark in enumerate(modules):
            if dark:
                left, bottom = x + (column + QUIET) * module, y + side - (row + QUIET + 1) * module
                canvas.rect(left, bottom, module, module, stroke=0, fill=1)
    room = (size.width - 1) * mm - side
    text_y = y + side - QUIET * module
    for at, line in enumerate(content.lines):
        wanted = size.height * mm / (6 if at == 0 else 9)
        full = stringWidth(line, "Helvetica", wanted) or 1.0
        height = max(3.0, wanted * min(1.0, room / full))
        text_y -= height
        canvas.setFont("Helvetica", height)
        canvas.drawString(x + side, text_y, line)
        text_y -= height * 0.3


def _hex(text: str) -> str:
    """Text for ^FH: ZPL's control characters, and all that is not ASCII, as _xx of the UTF-8."""
    return "".join(chr(byte) if 32 <= byte < 127 and chr(byte) not in "^~_\\" else f"_{byte:02X}" for byte in text.encode())
