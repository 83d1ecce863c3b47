"""The pages of README and docs: their blocks run as they stand, and print what they show."""

import contextlib
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from rootlet import resources
from rootlet.board.firmware import compile_mpy
from support import console, official
from support.download_mode import DownloadMode

ROOT = resources.FIRMWARE.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

REASONS = {
    "needs a board": "an ESP32 on a serial port",
    "needs an account": "AWS, or a server on the internet",
    "needs mosquitto": "mosquitto's command line tools; tests/e2e/test_real_clients.py uses them",
    "needs QEMU": "a QEMU that emulates an ESP32's Wi-Fi; tests/e2e/test_chip.py looks for one",
    "needs ESP-IDF": "MicroPython's sources and Espressif's toolchain",
    "needs a token": "a PKCS#11 token; tests/host/pki/test_pkcs11.py has one",
    "needs a checkout": "the repository and its development tools; tests/e2e/test_demo.py runs the demo",
    "takes minutes": "would take longer than all other blocks together; the tests of that command run it in parts",
}
"""Why a block is not run here."""

IDENTITY = ["rootlet ca create fleet-ca", "rootlet device issue sensor-1 --ca fleet-ca"]
SANDBOX = "rootlet sandbox up"
SAMPLE = f"cp -r {resources.FIRMWARE / 'apps' / 'sample'} my_app"
BATCH = "thing,serial,line\\nmeter-00001,SN-00001,a\\nmeter-00002,SN-00002,a\\n"
CONFIG = """printf '{"endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com"}' > config.json"""
PREPARED: dict[str, list[str]] = {
    "boards-and-flashing.md": [*IDENTITY, SAMPLE, CONFIG],
    "factory.md": ["rootlet ca create customer-a", f"printf '{BATCH}' > monday.csv"],
    "firmware.md": [SANDBOX, *IDENTITY, SAMPLE],
    "first-board.md": [SANDBOX],
    "policies.md": [SANDBOX, SAMPLE],
    "registration.md": [SANDBOX, *IDENTITY, "rootlet ca create maker-ca"],
    "sandbox.md": IDENTITY,
    "trust.md": [SANDBOX, *IDENTITY, "rootlet image build --device devices/sensor-1 -o flash.bin"],
}
"""What a page takes for granted, made by these commands before its first block."""


@contextlib.contextmanager
def fresh_board(directory: Path) -> Iterator[Mapping[str, str]]:
    """A chip as it comes, in download mode, and MicroPython's file for it. Yields what the page calls the chip's port."""
    (directory / official.RELEASES["esp32-1.25.0"].file).write_bytes(official.get("esp32-1.25.0"))
    with DownloadMode() as chip:
        yield {"/dev/ttyUSB0": chip.port}


@contextlib.contextmanager
def nothing(directory: Path) -> Iterator[Mapping[str, str]]:
    """For the other pages."""
    yield {}


BENCHES = {"boards-and-flashing.md": fresh_board, "first-board.md": fresh_board}
"""Pages that write to a board: what stands in for it."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_console_block_runs_or_says_why_not(page: Path, tmp_path: Path) -> None:
    parts = list(console.parts(page))
    blocks = [part for part in parts if isinstance(part, console.Block)]
    assert {block.reason for block in blocks} - {""} <= REASONS.keys()
    if all(block.reason for block in blocks):
        return
    here = tmp_path / "empty"
    here.mkdir()
    with BENCHES.get(page.name, nothing)(here) as replaced, console.Shell(here, tmp_path, replaced) as shell:
        for command in PREPARED.get(page.name, []):
            shell.run(console.Command(command))
        for part in parts:
            if isinstance(part, console.Snippet):
                part.write(here)
            elif not part.reason:
                shell.run_block(part)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_block_compiles_for_the_device(page: Path, tmp_path: Path) -> None:
    source = tmp_path / "block.py"
    for part in console.parts(page):
        if isinstance(part, console.Snippet) and part.language == "python":
            awaits = re.search(r"^await ", part.text, re.MULTILINE)  # a part of a coroutine
            source.write_text("async def main():\n" + textwrap.indent(part.text, "    ") if awaits else part.text)
            compile_mpy(source, page.name)


LONGEST_PARAGRAPH = 5 * 125
"""Characters: five lines of the width that the pages have."""
GENERATED = {"cli.md"}
"""Made of help texts, which have rules of their own."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in GENERATED], ids=lambda page: page.name)
def test_no_paragraph_is_longer_than_five_lines(page: Path) -> None:
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    paragraphs = re.split(r"\n\s*\n|\n(?= *(?:- |[0-9]+\. ))", prose)
    long = [text for text in paragraphs if len(text) > LONGEST_PARAGRAPH and not text.startswith("|")]
    assert not long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(#[^)]*)?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            headings = [line.lstrip("# ") for line in file.read_text().splitlines() if line.startswith("#")]
            assert anchor[1:] in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], anchor
