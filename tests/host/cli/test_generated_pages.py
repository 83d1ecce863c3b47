"""The pages that are made of the code are what tools/docs.py makes of it."""

import importlib.util
import json
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


@pytest.mark.parametrize("name", ["cli.md", "configuration.md"])
def test_a_page_is_what_the_code_says(docs: ModuleType, name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == docs.PAGES[name](), "run: make docs"


def test_every_key_of_the_configuration_has_a_text_and_every_text_a_key(docs: ModuleType) -> None:
    schema = json.loads(docs.SCHEMA.read_text())
    assert {key for key, _ in docs._keys(schema, "")} == docs.KEYS.keys()
