"""Plans for eFuses, and burning them on espefuse's virtual eFuses."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rootlet.board import efuses
from rootlet.cli.board import secure as cli
from rootlet.errors import BadInput, RootletError

MAC = "00:00:00:00:00:00"  # of every virtual chip
BOTH: tuple[efuses.Feature, ...] = ("flash-encryption", "secure-boot")


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signing") / "signing.pem"
    key = rsa.generate_private_key(65537, 3072).public_key()
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def burn(
    tmp_path: Path, chip: str, features: tuple[efuses.Feature, ...], signing_key: Path | None = None, **overrides: Any
) -> Path:
    fuses = efuses.Fuses(chip=chip, virtual=tmp_path / "fuses.bin")
    settings: dict[str, Any] = {
        "confirm": MAC,
        "own_build": True,
        "records": tmp_path / "records",
        "signing_key": signing_key,
    } | overrides
    return efuses.apply(fuses, efuses.plan(chip, features), **settings)


def blank(tmp_path: Path, chip: str) -> bytes:
    """A new chip of today: the virtual ESP32 is of revision 0 until its fuses say otherwise."""
    fuses = efuses.Fuses(chip=chip, virtual=tmp_path / "fuses.bin")
    if chip == "esp32":
        fuses._commands.burn_efuse({"CHIP_VER_REV1": "1", "CHIP_VER_REV2": "1"})
    return (tmp_path / "fuses.bin").read_bytes()


@pytest.mark.parametrize("chip", efuses.CHIPS)
def test_a_plan_says_every_fuse_and_what_is_lost_and_enables_last(chip: str) -> None:
    made = efuses.plan(chip, BOTH)
    assert all(step.undone for step in made.steps)
    for feature in BOTH:
        steps = [step for step in made.steps if step.feature == feature]
        assert steps[0].action in ("key", "digest") and "never be turned off" in steps[-1].undone
    assert any("do not support flash encryption" in warning for warning in made.warnings)
    assert any("not signed" in warning for warning in made.warnings)


def test_the_esp32_has_no_ds_peripheral() -> None:
    with pytest.raises(BadInput, match="no DS peripheral"):
        efuses.plan("esp32", ("ds",))
    assert "no hook" in efuses.plan("esp32s3", ("ds",)).warnings[0]


@pytest.mark.parametrize("chip", efuses.CHIPS)
def test_a_plan_is_burned_as_it_says(chip: str, tmp_path: Path, signing_key: Path) -> None:
    features: tuple[efuses.Feature, ...] = BOTH if chip == "esp32" else efuses.FEATURES
    blank(tmp_path, chip)
    directory = burn(tmp_path, chip, features, signing_key)
    fuses = efuses.Fuses(chip=chip, virtual=tmp_path / "fuses.bin")  # as it is read again
    assert all(fuses.is_done(step) for step in efuses.plan(chip, features).steps)
    key = directory / "flash-encryption.key"
    assert key.stat().st_size == 32 and stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert json.loads((directory / "plan.json").read_text())["chip"] == chip


@pytest.mark.parametrize("chip", efuses.CHIPS)
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"confirm": ""}, "not confirmed"),
        ({"confirm": "24:0a:c4:00:00:01"}, "not confirmed"),
        ({"own_build": False}, "stock MicroPython"),
        ({"signing_key": None}, "needs the signing key"),
    ],
)
def test_nothing_burns_without_every_consent(
    chip: str, overrides: dict[str, Any], said: str, tmp_path: Path, signing_key: Path
) -> None:
    before = blank(tmp_path, chip)
    with pytest.raises(BadInput, match=said):
        burn(tmp_path, chip, BOTH, **({"signing_key": signing_key} | overrides))
    assert (tmp_path / "fuses.bin").read_bytes() == before
    assert not (tmp_path / "records").exists()


def test_a_chip_that_cannot_take_the_last_step_gets_none(tmp_path: Path, signing_key: Path) -> None:
    fuses = efuses.Fuses(chip="esp32", virtual=tmp_path / "fuses.bin")
    before = (tmp_path / "fuses.bin").read_bytes()
    with pytest.raises(BadInput, match="revision 0, secure boot v2 needs 3"):
        burn(tmp_path, "esp32", BOTH, signing_key)
    assert (tmp_path / "fuses.bin").read_bytes() == before and fuses.mac == MAC


def test_a_plan_for_another_chip_is_refused(tmp_path: Path) -> None:
    fuses = efuses.Fuses(chip="esp32s3", virtual=tmp_path / "fuses.bin")
    with pytest.raises(BadInput, match="plan is for esp32c3"):
        efuses.apply(
            fuses, efuses.plan("esp32c3", ("ds",)), confirm=MAC, own_build=True, records=tmp_path / "records"
        )  # fmt: skip


@pytest.mark.parametrize("chip", efuses.CHIPS)
def test_a_second_run_completes_an_interrupted_one(chip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    burned: list[efuses.BurnStep] = []
    plain = efuses.Fuses.burn

    def interrupted(fuses: efuses.Fuses, step: efuses.BurnStep, key: bytes | None) -> None:
        if len(burned) == 2:
            raise RootletError("pulled out")
        plain(fuses, step, key)
        burned.append(step)

    monkeypatch.setattr(efuses.Fuses, "burn", interrupted)
    with pytest.raises(RootletError, match="pulled out"):
        burn(tmp_path, chip, ("flash-encryption",))
    key = next((tmp_path / "records").rglob("*.key")).read_bytes()
    monkeypatch.undo()
    directory = burn(tmp_path, chip, ("flash-encryption",))
    assert (directory / "flash-encryption.key").read_bytes() == key, "the key that was burned is the key on record"
    fuses = efuses.Fuses(chip=chip, virtual=tmp_path / "fuses.bin")
    assert all(fuses.is_done(step) for step in efuses.plan(chip, ("flash-encryption",)).steps)


def test_a_key_that_is_not_on_record_is_not_taken_for_ours(tmp_path: Path) -> None:
    burn(tmp_path, "esp32s3", ("flash-encryption",))
    with pytest.raises(BadInput, match="was burned with a key that is not in"):
        burn(tmp_path, "esp32s3", ("flash-encryption",), records=tmp_path / "elsewhere")


def test_the_command_shows_the_plan_and_wants_the_mac(tmp_path: Path) -> None:
    arguments = ["apply", "flash-encryption", "--chip", "esp32s3", "--virtual", str(tmp_path / "fuses.bin")]
    arguments += ["--records", str(tmp_path / "records"), "--own-build"]
    refused = CliRunner().invoke(cli.command, arguments)
    assert "SPI_BOOT_CRYPT_CNT" in refused.stdout
    assert isinstance(refused.exception, BadInput) and f"--confirm {MAC}" in refused.exception.hint
    done = CliRunner().invoke(cli.command, [*arguments, "--confirm", MAC])
    assert done.exit_code == 0 and "burned  BLOCK_KEY0" in done.stdout
    key = (tmp_path / "records" / MAC.replace(":", "") / "flash-encryption.key").read_bytes()
    assert key.hex() not in done.output.replace(" ", "")


def test_the_plan_is_shown_as_json() -> None:
    shown = CliRunner().invoke(cli.command, ["plan", "secure-boot", "--chip", "esp32c6", "--json"]).stdout
    assert [step["target"] for step in json.loads(shown)["steps"]][-1] == "SECURE_BOOT_EN"
