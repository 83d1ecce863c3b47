"""Labels say what the template says, fit where they are printed, and can be read by a scanner."""

import io
import socket
import struct
import threading
import zlib
from pathlib import Path

import pytest
import segno
from click.testing import CliRunner
from PIL import Image
from rootlet.cli.factory.group import command
from rootlet.errors import BadInput, RootletError
from rootlet.factory import labels
from rootlet.factory.labels import Content, Printer, Size, Template
from rootlet.factory.plan import BatchPlan, NewIdentity
from rootlet.factory.records import IdentityRecord
from rootlet.factory.schema import State
from support.factory_line import FactoryLine

RECORD = IdentityRecord(
    thing="sensor-1",
    batch="monday",
    serial="SN-1",
    attributes={"line": "a"},
    state=State.DONE,
    in_progress="",
    mac="24:0a:c4:00:00:01",
    certificate_id="ab" * 32,
    certificate_pem=None,
    trouble=None,
    claim=None,
)


def code_in(picture: Image.Image, modules: int) -> list[list[int]]:
    """What a scanner sees: the middle of each module of the code at the picture's left."""
    grey = picture.convert("L")
    dark = [(x, y) for x in range(grey.height) for y in range(grey.height) if grey.getpixel((x, y)) == 0]
    left, top = min(x for x, _ in dark), min(y for _, y in dark)
    scale = next(run for run in range(1, grey.width) if grey.getpixel((left + run, top)) != 0) // 7  # the finder's edge
    middle = scale // 2
    return [
        [int(grey.getpixel((left + column * scale + middle, top + row * scale + middle)) == 0) for column in range(modules)]
        for row in range(modules)
    ]


def test_the_template_names_fields_and_nothing_else() -> None:
    made = Template("https://x/{thing}", "{thing}\\n{customer}, {attributes[line]}\nSN {serial}").fill(RECORD, "Water")
    assert made == Content("https://x/sensor-1", ("sensor-1", "Water, a", "SN SN-1"))
    without = Template(text="{thing}\nSN {serial}\nlot {attributes[lot]}").fill(
        IdentityRecord(**{**vars(RECORD), "serial": None}), "Water"
    )
    assert without.lines == ("sensor-1",)
    for bad in ("{thing.__class__}", "{state}", "{0}", "{claim}", "{attributes}", "{"):
        with pytest.raises(BadInput):
            Template(code=bad)


def test_a_png_has_the_code_that_was_asked_for_at_its_size() -> None:
    content = Template().fill(RECORD, "Water")
    picture = Image.open(io.BytesIO(labels.png(content)))
    assert picture.size == (400, 200)
    wanted = [[int(bool(dark)) for dark in row] for row in segno.make_qr("sensor-1", error="m", boost_error=False).matrix]
    assert code_in(picture, len(wanted)) == wanted
    right = picture.convert("L").crop((220, 0, 400, 200))
    assert right.getextrema() == (0, 255)  # there is text, too
    assert picture.convert("L").crop((392, 0, 400, 200)).getextrema() == (255, 255)  # and it does not run off the label
    with pytest.raises(BadInput, match="does not fit"):
        labels.png(Content("x" * 2000, ()), Size(20, 10))


def test_zpl_carries_code_and_text_whatever_is_in_them() -> None:
    text = labels.zpl(Content("a^b~c_d", ("Zürich ^XA", "second")))
    assert text.startswith("^XA") and text.endswith("^XZ\n")
    assert text.count("^XA") == 1  # what is data stays data
    assert "^BQN,2," in text and "^FDMA,a_5Eb_7Ec_5Fd^FS" in text
    assert "^FDZ_C3_BCrich _5EXA^FS" in text


def test_a_sheet_has_as_many_pages_as_it_takes() -> None:
    contents = [Content(f"sensor-{n}", (f"sensor-{n}",)) for n in range(28)]
    sheet = labels.pdf(contents)
    assert sheet.startswith(b"%PDF") and sheet == labels.pdf(contents)  # the same labels, the same bytes
    assert sheet.count(b"/Type /Page\n") + sheet.count(b"/Type /Page ") == 2
    with pytest.raises(BadInput, match="do not fit on A4"):
        labels.pdf(contents, Size(100, 50))


def test_a_printer_on_the_network_gets_the_label_and_one_that_is_off_is_told() -> None:
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(4096):
                    got.append(data)

        thread = threading.Thread(target=accept)
        thread.start()
        Printer(f"tcp://127.0.0.1:{port}", "zpl", Template(), "Water", Size())(RECORD)
        thread.join(10)
    assert b"^FDMA,sensor-1^FS" in b"".join(got)
    with pytest.raises(RootletError, match="label printer"):
        Printer(f"tcp://127.0.0.1:{port}", "zpl", Template(), "Water", Size())(RECORD)


def test_labels_are_printed_again_by_command(line: FactoryLine, tmp_path: Path) -> None:
    line.ledger.open_batch("b", [NewIdentity("x-1", {}, "S1")], BatchPlan(board="esp32_generic", customer="W", ca_sha256=""))

    def run(*arguments: str) -> None:
        result = CliRunner().invoke(command, ["label", "b", "--ledger", line.where, *arguments])
        if result.exception:
            raise result.exception

    for name in ("l.pdf", "l.zpl", "l.png"):
        run("--thing", "x-1", "-o", str(tmp_path / name))
    data = (tmp_path / "l.png").read_bytes()
    assert struct.unpack(">II", data[16:24]) == (400, 200) and zlib.crc32(data) != 0
    with pytest.raises(BadInput, match="no proved board"):
        run("-o", str(tmp_path / "all.pdf"))
