"""``umqtt.simple`` for the Unix port: fetched once, pinned, or taken from a local file."""

import tarfile
from pathlib import Path

import pytest
from rootlet.emulator import frozen
from rootlet.errors import BadInput, RootletError


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_cached_copy_needs_neither_network_nor_file(monkeypatch: pytest.MonkeyPatch) -> None:
    first = frozen.frozen_directory()
    monkeypatch.setenv(frozen.LOCAL_FILE, "/nowhere")
    assert frozen.frozen_directory() == first
    assert b"class MQTTClient" in (first / frozen.UMQTT.module).read_bytes()


def test_a_local_file_that_differs_from_the_pin_is_refused_and_nothing_is_cached(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "umqtt.tar.gz"
    with tarfile.open(other, "w:gz") as archive:
        archive.add(__file__, "x/umqtt/simple.py")
    monkeypatch.setenv(frozen.LOCAL_FILE, str(other))
    with pytest.raises(RootletError, match=frozen.UMQTT.sha256) as refusal:
        frozen.frozen_directory()
    assert frozen.LOCAL_FILE in refusal.value.hint
    assert not list(empty_cache.rglob("*.py"))


def test_a_local_file_that_is_not_there_is_named(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(frozen.LOCAL_FILE, "/nowhere/umqtt.tar.gz")
    with pytest.raises(BadInput, match="/nowhere/umqtt"):
        frozen.frozen_directory()


def test_an_index_that_lacks_it_is_one_clear_error(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "micropython-umqtt-simple").mkdir()
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    with pytest.raises(RootletError, match=r"micropython-umqtt\.simple"):
        frozen.frozen_directory()
