"""The page for the floor: live, for visitors with the token only, and whole at the sizes it is used in."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


def publish(floor: Floor) -> None:
    floor._published = 0.0
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
        page.wait_for("document.querySelector('.tile.bad') !== null")
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
            word = "parseFloat(getComputedStyle(document.querySelector('.word')).fontSize)"
            assert page.evaluate(word) >= 30  # pixels: 6 mm on a desk's screen, which eyes read at two metres
        page.open(url + "batches/monday?word=SN-11")
        assert page.evaluate("document.querySelectorAll('tbody tr').length") == 10
        page.open(url + "batches/monday?state=trouble")
        assert "the CA <is> locked" in page.text
        assert "Example <Water>" in page.text


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
    publish(floor)
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
