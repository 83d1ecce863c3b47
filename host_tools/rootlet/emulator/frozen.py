"""What the official ESP32 firmware freezes and the Unix port lacks: ``umqtt.simple``.

It is fetched once from the package index that pip is set up for, checked against a pinned hash, and kept in the user's
cache. It never enters a flash image: on a board it lies in the MicroPython binary.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import platformdirs

from rootlet.errors import RootletError
from rootlet.files import read_input, write_atomic

VERSION = "1.3.4"
SDIST_SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"
MODULE = "umqtt/simple.py"
LOCAL_FILE = "ROOTLET_UMQTT_SDIST"


def frozen_directory() -> Path:
    """Return the directory that holds ``umqtt/simple.py``, fetching it where it is not cached yet.

    ``ROOTLET_UMQTT_SDIST`` names a local copy of the sdist, for machines without a package index.
    Raises RootletError where it can be neither found nor fetched, or differs from its pin.
    """
    directory = platformdirs.user_cache_path("rootlet") / f"umqtt.simple-{VERSION}-{SDIST_SHA256[:12]}"
    if not (directory / MODULE).exists():
        _unpack(_sdist(), directory)
    return directory


def _sdist() -> bytes:
    local = os.environ.get(LOCAL_FILE)
    data = read_input(Path(local), "umqtt.simple sdist") if local else _download()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SDIST_SHA256:
        raise RootletError(
            f"the sdist of micropython-umqtt.simple {VERSION} has SHA-256 {digest}, not the pinned {SDIST_SHA256}",
            way_out=f"get the file from PyPI and name it in {LOCAL_FILE}",
        )
    return data


def _download() -> bytes:
    # unearth comes with an HTTP client; a cached run should not pay for importing it.
    from unearth import PackageFinder

    try:
        finder = PackageFinder(index_urls=_pip_setting("index-url"))
        for place in _pip_setting("find-links"):  # added after: with no index named, the finder knows PyPI by itself
            finder.add_find_links(place)
        match = finder.find_best_match(f"micropython-umqtt.simple=={VERSION}", allow_yanked=True).best
        if match is None or match.link is None:
            raise RootletError(
                f"the package index has no micropython-umqtt.simple {VERSION}",
                way_out=f"download its sdist elsewhere and name it in {LOCAL_FILE}",
            )
        with tempfile.TemporaryDirectory() as scratch:
            kept = Path(scratch, "download")
            kept.mkdir()
            finder.download_and_unpack(match.link, Path(scratch, "unpacked"), download_dir=kept)
            return next(kept.iterdir()).read_bytes()
    except RootletError:
        raise
    except Exception as error:  # the client's errors share no base class
        raise RootletError(
            f"cannot fetch micropython-umqtt.simple {VERSION}: {type(error).__name__}: {error}",
            way_out=f"check the network, or name a local copy of the sdist in {LOCAL_FILE}",
        ) from error


def _pip_setting(name: str) -> list[str]:
    """What pip is told by its environment or its configuration: a company's mirror, say."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if value is None:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "get", f"global.{name}"]
        value = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return value.split()


def _unpack(sdist: bytes, directory: Path) -> None:
    with tempfile.NamedTemporaryFile() as packed:
        packed.write(sdist)
        packed.flush()
        with tarfile.open(packed.name) as archive:
            member = next(m for m in archive.getmembers() if m.name.endswith("/" + MODULE))
            stream = archive.extractfile(member)
            if stream is None:
                raise RootletError(f"{member.name} is no file in the umqtt.simple sdist")
            source = stream.read()
    (directory / MODULE).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(directory / MODULE, source)
