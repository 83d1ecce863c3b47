"""``from rootlet import …``: the page's example runs as it stands, and the import is cheap."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import rootlet

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_first_example_of_the_page_connects_a_device(tmp_path: Path, no_aws: None) -> None:
    example = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    assert len(example.splitlines()) <= 15
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"sensor-1 is connected as certificate [0-9a-f]{64}\n", done.stdout)
    assert (tmp_path / "sensor-1.bin").stat().st_mode & 0o777 == 0o600


def test_the_import_needs_no_library_besides_pythons_own() -> None:
    script = "import sys; before = set(sys.modules); import rootlet; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [
        name for name in done.stdout.split() if name.partition(".")[0] not in {"rootlet", *sys.stdlib_module_names}
    ] == []


def test_every_public_name_is_there_and_no_other() -> None:
    assert sorted(rootlet.__all__) == sorted(rootlet._HOMES)
    assert {name for name in rootlet.__all__ if callable(getattr(rootlet, name))} == set(rootlet.__all__)
    assert set(rootlet.__all__) <= set(dir(rootlet))
    assert all(f"`{name}`" in PAGE.read_text() for name in rootlet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        rootlet.Nothing  # noqa: B018
