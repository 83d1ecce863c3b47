"""The pages that are made of the code are what tools/docs.py makes of it."""

import ast
import importlib.util
import json
import re
import tomllib
from types import ModuleType

import pytest
from rootlet import resources

ROOT = resources.FIRMWARE.parent


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs", ROOT / "tools" / "docs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "configuration.md", "troubleshooting.md"])
def test_a_page_is_what_the_code_says(docs: ModuleType, name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == docs.PAGES[name](), "run: make docs"


def test_every_key_of_the_configuration_has_a_text_and_every_text_a_key(docs: ModuleType) -> None:
    schema = json.loads(docs.SCHEMA.read_text())
    assert {key for key, _ in docs._keys(schema, "")} == docs.KEYS.keys()


def fault_words() -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "tools" / "faults.toml").read_text())


def test_every_fault_word_of_the_device_is_explained_and_no_other(docs: ModuleType) -> None:
    words = [line.partition(":")[0] for line in docs.HINTS.read_text().splitlines()]
    assert list(fault_words()) == words


def causes() -> re.Pattern[str]:
    """What the firmware's own texts can become: a number for %d, anything for %s. Texts of a few letters are left out."""
    patterns = []
    for source in (resources.FIRMWARE / "leaf").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(re.sub("%.", "", node.value)) > 8:
                patterns.append(re.escape(node.value).replace("%s", ".*").replace("%d", "-?[0-9]+"))
    return re.compile("|".join(patterns))


FROM_ELSEWHERE = {"application", "unexpected", "shadow-rejected", "job-rejected"}
"""Words whose cause is an exception's text, or AWS IoT's."""


@pytest.mark.parametrize("word", sorted(fault_words().keys() - FROM_ELSEWHERE))
def test_the_cause_that_the_page_shows_is_one_that_the_firmware_logs(word: str) -> None:
    assert causes().search(fault_words()[word]["seen"])
