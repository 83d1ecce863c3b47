"""The page with both chains drawn: self-contained, and a headless browser draws what is meant."""

import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from rootlet.cli.trust import chain as cli
from rootlet.pki.authority import Authority
from support.chains import HOST
from support.defects import CASES
from support.device import BuiltDevice
from support.impostor import Impostor

Look = Callable[..., Result]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def page(look: Look, case: str, tmp_path: Path) -> str:
    look(case, "--html", tmp_path / "chain.html")
    return (tmp_path / "chain.html").read_text()


def test_the_page_loads_nothing_and_runs_nothing(look: Look, tmp_path: Path) -> None:
    text = page(look, "sound", tmp_path)
    assert not re.search(r"<script|<link|<img|@import|url\(http|src=", text)
    assert "would connect" in text
    assert "<svg" in text
    HTMLParser().feed(text)


def test_names_from_a_certificate_cannot_become_markup(tmp_path: Path, look: Look) -> None:
    from support.defects import DefectCase, root, sign

    evil = sign("<script>alert(1)</script>", root(), names=[HOST])
    case = DefectCase((evil.certificate,), evil.key, (root().certificate,), HOST, "", True)
    look(case, "--html", tmp_path / "chain.html")
    text = (tmp_path / "chain.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
def test_a_browser_draws_both_ends_in_their_colours(tmp_path: Path, authority: Authority) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    case = CASES["sound"]()
    root = tmp_path / "root.crt"
    root.write_bytes(case.roots[0].public_bytes(Encoding.PEM))
    device = BuiltDevice(tmp_path, authority.issue("page-1"), {"endpoint": HOST}, root)
    device.build()
    html = tmp_path / "chain.html"
    with Impostor(list(case.sent), case.key) as server:
        arguments = [f"{HOST}:{server.port}", "--address", "127.0.0.1", "--image", str(device.flash), "--html", str(html)]
        assert CliRunner().invoke(cli.command, arguments).exit_code == 0
    picture = tmp_path / "page.png"
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1400"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    subprocess.run(
        [*command, profile, f"--screenshot={picture}", html.as_uri()], check=True, capture_output=True, timeout=60
    )
    with Image.open(picture) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert (0x1A, 0x7F, 0x37) in colours  # the embedded root and the badge
    assert (0x0B, 0x5C, 0xAD) in colours  # the certificates below it
    assert (0xC1, 0x12, 0x1F) not in colours  # nothing is wrong
    text = html.read_text()
    assert "device in flash.bin" in text
    assert "page-1" in text


def test_the_picture_shows_the_issuer_that_is_missing(look: Look, tmp_path: Path) -> None:
    text = page(look, "missing_intermediate", tmp_path)
    assert 'fill="#c1121f">CN=Test Intermediate<' in text
    assert "not embedded, and not sent" not in page(look, "sound", tmp_path)
