import json
from pathlib import Path
from typing import Any

import pytest
from rootlet.board.config import load_config, redact
from rootlet.errors import BadInput

GOOD = {"endpoint": "a-ats.iot.eu-west-1.amazonaws.com", "wifi": [{"ssid": "plant", "password": "secret-word"}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpont": "x"}, "endpont is not a known key"),
        ({"endpoint": None}, "endpoint is null; must be of type str"),
        ({"port": "8883"}, 'port is "8883"; must be of type int'),
        ({"port": True}, "port is true; must be of type int"),
        ({"port": 0}, "port is 0; must be at least 1"),
        ({"keep_alive": 5000}, "keep_alive is 5000; must be at most 1200"),
        ({"wifi": [{"password": "12345678"}]}, "wifi[0].ssid is missing"),
        ({"wifi": [{"ssid": "x", "password": "short"}]}, "wifi[0].password is (not shown); length must be at least 8"),
        ({"endpoint": "https://a"}, "must not contain"),
    ],
)
def test_a_bad_configuration_is_told_in_one_line_by_key_value_and_rule(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GOOD | change))
    with pytest.raises(BadInput) as refusal:
        load_config(tmp_path / "config.json")
    assert said in refusal.value.what and "\n" not in refusal.value.what


def test_a_configuration_without_endpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="endpoint is missing; it is required"):
        load_config(tmp_path / "config.json")


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{endpoint: 1}")
    with pytest.raises(BadInput, match="is not valid JSON"):
        load_config(tmp_path / "config.json")


def test_what_is_shown_leaves_secrets_out() -> None:
    assert "secret-word" not in json.dumps(redact(GOOD))
    assert redact(GOOD)["wifi"][0]["ssid"] == "plant"
    assert redact({"mqtt": {"api_token": "t"}})["mqtt"]["api_token"] == "(not shown)"
