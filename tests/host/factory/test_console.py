"""The page for the floor: live, for visitors with the token only, and whole at the sizes it is used in."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import httpx2 as httpx
import pytest
from rootlet.factory.admission import ConnectedBoard
from rootlet.factory.console import floor_view
from rootlet.factory.floor import Floor, tiles
from rootlet.factory.plan import BatchPlan, NewIdentity
from rootlet.factory.schema import Step
from rootlet.factory.station import Phase, PortStatus
from support.browser import CHROMIUM, Browser
from support.factory_line import FactoryLine, mac

PLAN = BatchPlan(board="esp32_generic", customer="Example <Water>", ca_sha256="00" * 32)


@pytest.fixture
def day(line: FactoryLine) -> FactoryLine:
    """A batch of 120 things, one of them in trouble."""
    line.ledger.open_batch("monday", [NewIdentity(f"meter-{n:03}", {}, f"SN-{n:03}") for n in range(120)], PLAN)
    record = line.ledger.assign("monday", ConnectedBoard(mac(1)))
    assert record is not None
    line.ledger.begin(record, Step.ISSUE)
    line.ledger.fail(record, Step.ISSUE, "the CA <is> locked")
    return line


@pytest.fixture
def floor(day: FactoryLine) -> Floor:
    made = Floor(day.database, "bench-1", "monday")
    for port in range(8):
        made.note(f"/dev/ttyUSB{port}", PortStatus(Phase.EMPTY), ended=False)
    return made


@contextlib.contextmanager
def console(where: str, *more: str, address: str = "127.0.0.1") -> Iterator[str]:
    """The address that the command prints."""
    options = ["--ledger", where, "--listen", f"{address}:0", *more]
    command = [sys.executable, "-m", "rootlet.cli.main", "factory", "console", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rsplit(" ", 1)[1].strip()
        finally:
            process.terminate()
            process.wait(10)


def publish(floor: Floor, ahead: float = 600) -> None:
    """Write the tiles, with a heartbeat that many seconds ahead: a slow machine makes no station silent."""
    floor._published = 0.0
    at = time.time() + ahead
    with patch("rootlet.factory.floor.time.time", lambda: at):
        floor.publish()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: nothing was shown about the page")
def test_the_floor_is_live_and_whole_on_desktop_and_tablet(day: FactoryLine, floor: Floor, tmp_path: Path) -> None:
    publish(floor)
    with console(day.where) as url, Browser() as page:
        page.open(url)
        page.wait_for("document.querySelectorAll('.tile.empty').length === 8")
        # It changes by itself.
        floor.note("/dev/ttyUSB0", PortStatus(Step.IMAGE, "meter-001", mac(1), 0.5), ended=False)
        floor.note(
            "/dev/ttyUSB1", PortStatus(Phase.DONE, "meter-002", mac(2), 0, "proved", "take the next board"), ended=True
        )
        wrong = PortStatus(Phase.REFUSED, "", mac(3), 0, "the board <b>was</b> made meter-000", "set it aside: it is a copy")
        floor.note("/dev/ttyUSB2", wrong, ended=True)
        publish(floor)
        page.wait_for("document.querySelector('.tile.aside') !== null")
        assert "set it aside: it is a copy" in page.text.lower()
        assert "the board <b>was</b> made" in page.text  # as text, not as markup
        assert page.evaluate("document.querySelector('.tile.busy progress').value") > 0
        assert page.evaluate("document.querySelector('.tile.good .word').innerText").endswith("Done")
        for width, height in ((1920, 1080), (1024, 768), (768, 1024)):
            page.resize(width, height)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            clipped = "[...document.querySelectorAll('.tile')].filter(t => t.scrollHeight > t.clientHeight + 1).length"
            assert page.evaluate(clipped) == 0
            assert page.picture(tmp_path / f"{width}.png").stat().st_size > 10_000
            assert sizes(page, ".word") >= 30  # pixels: a tablet is held nearer
        page.open(url + "batches/monday?word=SN-11")
        assert page.evaluate("document.querySelectorAll('tbody tr').length") == 10
        page.open(url + "batches/monday?state=trouble")
        assert "the CA <is> locked" in page.text
        assert "Example <Water>" in page.text


LONG = "/dev/serial/by-id/usb-Silicon_Labs_CP2102N_USB_to_UART_Bridge_Controller_0001-if00-port0"
TWINS = PortStatus(
    Phase.REFUSED,
    "",
    mac(21),
    0,
    f"the board {mac(21)} was assigned meter-012, and this board has no certificate",
    "set it aside: two boards have the same MAC address, or this one was erased. If it was erased: rootlet factory scrap",
)
BROKEN = PortStatus(
    Phase.FAILED,
    "meter-013",
    mac(22),
    0,
    "read back differently",
    "connect the board again; if it repeats, the flash is bad",
)
HELD = PortStatus(Phase.HELD, "meter-014", mac(23), 0, "the token refused", "see the token's own log")


def sizes(page: Browser, selector: str) -> float:
    """The smallest font, in CSS pixels, of all that ``selector`` names."""
    each = f"[...document.querySelectorAll('{selector}')].map(one => parseFloat(getComputedStyle(one).fontSize))"
    return float(page.evaluate(f"Math.min(...{each})"))


def brightness(page: Browser, selector: str) -> float:
    """The relative luminance of an element's background (WCAG 2.2)."""
    rgb = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).backgroundColor.match(/[0-9]+/g)")
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (int(n) / 255 for n in rgb)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: nothing was shown about the page")
def test_an_operator_reads_from_two_metres_what_to_do_and_at_which_port(day: FactoryLine, floor: Floor) -> None:
    floor.note("/dev/ttyUSB4", BROKEN, ended=True)
    floor.note("/dev/ttyUSB5", TWINS, ended=True)
    floor.note("/dev/ttyUSB6", HELD, ended=False)
    publish(floor)
    with console(day.where) as url, Browser() as page:
        page.open(url)
        page.wait_for("document.querySelectorAll('.tile').length === 8")
        # 46 pixels on a 24-inch screen: capitals of 9.3 mm, 16 minutes of arc at two metres (ISO 9241-303).
        assert min(sizes(page, selector) for selector in (".port", ".word", ".todo")) >= 46
        assert sizes(page, ".why") < sizes(page, ".todo") / 2
        todo = page.evaluate("[...document.querySelectorAll('.todo')].map(one => one.innerText)")
        assert todo == ["Take it out, put it in again", "Put it with the boards set aside", "Leave the board in"]
        assert "rootlet" not in " ".join(todo)
        # All of it is on the screen, without scrolling.
        scrolls = "document.querySelector('.tiles').scrollHeight - document.querySelector('.tiles').clientHeight"
        for width, height in ((1920, 1080), (1280, 720), (1024, 768)):
            page.resize(width, height)
            assert page.evaluate(scrolls) <= 0


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: nothing was shown about the page")
def test_no_port_s_name_is_cut_off(day: FactoryLine) -> None:
    floor = Floor(day.database, "bench-1", "monday")
    for port in [LONG, "socket://terminal-server.factory.example:4001", *(f"/dev/ttyUSB{n}" for n in range(14))]:
        floor.note(port, PortStatus(Step.PROVE, "meter-1", mac(1)), ended=False)
    publish(floor)
    with console(day.where) as url, Browser() as page:
        page.open(url)
        page.wait_for("document.querySelectorAll('.tile').length === 16")
        names = page.evaluate("[...document.querySelectorAll('.port')].map(one => one.innerText)")
        assert "Silicon_Labs_CP2102N_USB_to_UART_Bridge_Controller_0001-if00-port0" in names
        assert names.index("ttyUSB2") < names.index("ttyUSB10")
        for width, height in ((1920, 1080), (1024, 768), (768, 1024)):
            page.resize(width, height)
            cut = "[...document.querySelectorAll('.port')].filter(one => one.scrollWidth > one.clientWidth).length"
            assert page.evaluate(cut) == 0
            outside = (
                "[...document.querySelectorAll('.tile')].filter(tile => tile.querySelector('.counts')"
                ".getBoundingClientRect().right > tile.getBoundingClientRect().right).length"
            )
            assert page.evaluate(outside) == 0


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: nothing was shown about the page")
def test_failed_set_aside_and_waiting_are_told_apart_without_colour(day: FactoryLine, floor: Floor) -> None:
    floor.note("/dev/ttyUSB4", BROKEN, ended=True)
    floor.note("/dev/ttyUSB5", TWINS, ended=True)
    floor.note("/dev/ttyUSB6", HELD, ended=False)
    publish(floor)
    with console(day.where) as url, Browser() as page:
        page.open(url)
        page.wait_for("document.querySelectorAll('.tile').length === 8")
        failed, aside = brightness(page, ".tile.bad"), brightness(page, ".tile.aside")
        assert (aside + 0.05) / (failed + 0.05) >= 3  # what WCAG 2.2 asks of things that must be told apart
        each = [
            page.evaluate(
                f"[document.querySelector('.tile.{kind} .word').innerText, "
                f"getComputedStyle(document.querySelector('.tile.{kind}')).border]"
            )
            for kind in ("bad", "aside", "wait")
        ]
        assert len({word for word, _ in each}) == len({border for _, border in each}) == 3
        totals = page.evaluate("document.querySelector('.totals').innerText")
        assert "1 failed" in " ".join(totals.split()) and "1 set aside" in " ".join(totals.split())


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: nothing was shown about the page")
def test_a_screen_reader_hears_what_needs_somebody_and_nothing_else(day: FactoryLine, floor: Floor) -> None:
    publish(floor)
    with console(day.where) as url, Browser() as page:
        page.open(url)
        page.wait_for("document.querySelectorAll('.tile.empty').length === 8")
        live = "[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map(one => one.id)"
        assert sorted(page.evaluate(live)) == ["lost", "spoken"]
        heard = "document.getElementById('spoken').textContent"
        floor.note("/dev/ttyUSB0", PortStatus(Step.IMAGE, "meter-001", mac(1), 0.5), ended=False)
        publish(floor)
        page.wait_for("document.querySelector('.tile.busy') !== null")
        assert page.evaluate(heard) == ""
        floor.note("/dev/ttyUSB4", BROKEN, ended=True)
        publish(floor)
        page.wait_for(f"{heard} !== ''")
        assert page.evaluate(heard) == "ttyUSB4: Failed. Take it out, put it in again."
        floor.note("/dev/ttyUSB5", TWINS, ended=True)
        publish(floor)
        page.wait_for("document.querySelector('.tile.aside') !== null")
        assert page.evaluate(heard) == "ttyUSB5: Set aside. Put it with the boards set aside."  # and not ttyUSB4 again


def test_a_board_that_fails_again_is_put_aside_and_a_silent_port_is_the_engineer_s(day: FactoryLine, floor: Floor) -> None:
    def todo(port: str) -> str:
        publish(floor)
        (found,) = (tile.todo for tile in floor_view.look(day.database).tiles if f"/dev/{tile.port}" == port)
        return found

    silent = PortStatus(Phase.FAILED, what="no answer from the chip", hint="check cable and port")
    floor.note("/dev/ttyUSB1", BROKEN, ended=True)
    assert todo("/dev/ttyUSB1") == "Take it out, put it in again"
    floor.note("/dev/ttyUSB1", PortStatus(Phase.EMPTY), ended=False)
    floor.note("/dev/ttyUSB1", BROKEN, ended=True)
    assert todo("/dev/ttyUSB1") == "It failed again: put it with the boards set aside"
    for _ in range(2):
        floor.note("/dev/ttyUSB2", silent, ended=True)
    assert todo("/dev/ttyUSB2") == "No board answers here: call the engineer"
    floor.note("/dev/ttyUSB1", PortStatus(Phase.DONE, "meter-2", mac(2)), ended=True)
    floor.note("/dev/ttyUSB1", BROKEN, ended=True)
    assert todo("/dev/ttyUSB1") == "Take it out, put it in again"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: nothing was shown about the page")
def test_a_page_whose_server_is_gone_says_so(day: FactoryLine, floor: Floor) -> None:
    publish(floor)
    with Browser() as page:
        with console(day.where) as url:
            page.open(url)
            page.wait_for("document.querySelectorAll('.tile').length === 8")
            assert page.evaluate("document.getElementById('lost').hidden")
        page.wait_for("!document.getElementById('lost').hidden")


def test_search_pages_exports_and_histories(day: FactoryLine) -> None:
    with console(day.where) as url, httpx.Client(base_url=url) as visitor:
        first = visitor.get("/batches/monday").text
        assert first.count("<tr><td>") == 50 and "page=1" in first
        assert visitor.get("/batches/monday?page=2").text.count("<tr><td>") == 20
        export = visitor.get("/batches/monday/export.csv")
        assert export.headers["content-disposition"] == 'attachment; filename="monday.csv"'
        assert len(export.text.splitlines()) == 121
        assert visitor.get("/batches/monday/export.json").json()[0]["thing"] == "meter-000"
        assert "issue" in visitor.get("/things/meter-000").text
        for absent in ("/batches/none", "/things/none", "/batches/monday/export.exe", "/batches/none/export.csv"):
            assert visitor.get(absent).status_code == 404
        for odd in ("/batches/monday?page=-1", "/batches/monday?page=9999999999", "/batches/monday?state=x&word=%25"):
            assert visitor.get(odd).status_code == 200
        assert "default-src 'self'" in visitor.get("/").headers["content-security-policy"]
        # A page elsewhere that points its own name at this computer gets nothing.
        assert visitor.get("/", headers={"host": "evil.example"}).status_code == 400


def test_whoever_comes_over_the_network_needs_the_token(day: FactoryLine, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    with console(day.where, "--token-file", str(token_file), address="0.0.0.0") as url:
        assert token_file.stat().st_mode & 0o077 == 0
        token = token_file.read_text()
        assert url.endswith(f"/?token={token}")
        port = url.split(":")[2].split("/")[0]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as visitor:
            for path in ("/", "/events", "/batches", "/batches/monday/export.csv", "/static/floor.css"):
                assert visitor.get(path).status_code == 403
                assert visitor.get(path + "?token=wrong").status_code == 403
            entered = visitor.get(f"/?token={token}")
            assert entered.status_code == 303 and "token" not in entered.headers["location"]
            assert "httponly" in entered.headers["set-cookie"].lower()
            assert visitor.get("/").status_code == 200
        bearer = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"http://127.0.0.1:{port}/batches", headers=bearer).status_code == 200


def test_it_listens_on_loopback_and_a_taken_port_is_told(day: FactoryLine) -> None:
    with console(day.where) as url:
        assert url.startswith("http://localhost:")
        port = int(url.rstrip("/").rpartition(":")[2])
        command = [
            sys.executable,
            "-m",
            "rootlet.cli.main",
            "factory",
            "console",
            "--ledger",
            day.where,
            "--listen",
            f"127.0.0.1:{port}",
        ]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 2 and "cannot listen" in refused.stderr
        for address in _other_addresses():
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, port), 2).close()


def test_a_station_that_falls_silent_is_seen(day: FactoryLine, floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(floor, ahead=0)
    assert not any(tile.silent for tile in tiles(day.database))
    now = time.time()
    monkeypatch.setattr("rootlet.factory.floor.time.time", lambda: now + 60)
    assert all(tile.silent for tile in tiles(day.database))
    assert {tile.word for tile in floor_view.look(day.database).tiles} == {"No news"}
    monkeypatch.setattr("rootlet.factory.floor.time.time", lambda: now + 90_000)
    assert tiles(day.database) == []


def _other_addresses() -> list[str]:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would be used
        address = probe.getsockname()[0]
        return [] if address.startswith("127.") else [address]
    return []
