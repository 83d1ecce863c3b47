import json
import os
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet import resources
from rootlet.board import filesystem, image, inspect_image, secure_cert
from rootlet.board.definition import Board, list_boards
from rootlet.cli.board import image as cli
from rootlet.errors import BadInput, RootletError
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.roots import PinnedRoot, load_manifest
from support.certificates import certificate
from support.flashkit import BUILT, CONFIG


def test_the_same_inputs_give_the_same_bytes(board: Board, application: Path, identity: DeviceIdentity, full: bytes) -> None:
    again = image.build(board, CONFIG, application, load_manifest().defaults(), built=BUILT, identity=identity)
    assert again.flash == full


def test_a_golden_image_differs_from_a_devices_in_the_credentials_alone(golden: bytes, full: bytes) -> None:
    differing = [at for at in range(len(full)) if golden[at] != full[at]]
    assert differing[0] >= 0xD000 and differing[-1] < 0xF000


def test_a_golden_image_and_an_identity_make_the_devices_image(golden: bytes, full: bytes, identity: DeviceIdentity) -> None:
    assert golden[:0xD000] + secure_cert.from_identity(identity) + golden[0xF000:] == full


def test_the_image_is_the_flash_of_the_board(board: Board, full: bytes, identity: DeviceIdentity) -> None:
    assert len(full) == board.flash_size
    found = inspect_image.inspect(full)
    assert found.partitions == board.partitions
    assert found.vfs is not None and (found.vfs.offset, found.vfs.end) == (0x200000, 0x400000)
    assert found.identity is not None and found.identity.thing == identity.thing
    assert {"/main.py", "/app.mpy", "/config.json", "/build.json", "/leaf/tls.mpy"} <= found.files.keys()
    assert [name for name in found.files if name.startswith("/roots/")] == [
        "/roots/amazon-root-ca-1.der",
        "/roots/amazon-root-ca-3.der",
    ]
    assert found.files["/roots/amazon-root-ca-3.der"] == load_manifest().select(["amazon-root-ca-3"])[0].der()
    assert json.loads(found.files["/build.json"])["built"] == BUILT


@pytest.mark.parametrize("board_id", [board.id for board in list_boards()])
def test_every_board_gets_an_image(board_id: str, application: Path) -> None:
    board = next(board for board in list_boards() if board.id == board_id)
    flash = image.build(board, CONFIG, application, load_manifest().defaults(), built=BUILT).flash
    assert len(flash) == board.flash_size
    assert inspect_image.inspect(flash).json_file("/build.json")["board"] == board_id


def test_no_host_path_is_compiled_into_the_image(full: bytes, application: Path) -> None:
    found = inspect_image.inspect(full)
    for name, data in found.files.items():
        assert (
            str(application.parent).encode() not in data
            and str(resources.FIRMWARE).encode() not in data
            and b"/home/" not in data
        ), name
    assert b"blink.py" in found.files["/app.mpy"]


def test_a_root_that_differs_from_its_pin_stops_the_build(board: Board, application: Path, tmp_path: Path) -> None:
    root = load_manifest().defaults()[0]
    forged = PinnedRoot(**{**vars(root), "path": load_manifest().roots[1].path})
    with pytest.raises(RootletError, match="not the pinned"):
        image.build(board, CONFIG, application, [forged])


def test_an_application_that_does_not_compile_is_refused(board: Board, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def broken(:\n")
    with pytest.raises(BadInput, match=r"does not compile: SyntaxError.*line 1"):
        image.build(board, CONFIG, tmp_path, [])


def test_an_application_may_not_take_the_firmwares_names(board: Board, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match=r"place of the firmware's own /config\.json"):
        image.build(board, CONFIG, tmp_path, [])


def test_an_application_that_does_not_fit_is_refused(board: Board, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "sound.raw").write_bytes(os.urandom(0x200000))
    with pytest.raises(RootletError, match="file system is full"):
        image.build(board, CONFIG, tmp_path, [])


class TestTheCommand:
    @pytest.fixture
    def inputs(self, tmp_path: Path, identity: DeviceIdentity, application: Path) -> list[str]:
        identity.save(tmp_path / "sensor-1")
        (tmp_path / "config.json").write_text(json.dumps(CONFIG))
        common = ["--config", str(tmp_path / "config.json"), "--app", str(application), "-o", str(tmp_path / "flash.bin")]
        return ["build", "--device", str(tmp_path / "sensor-1"), "--built", str(BUILT), *common]

    def test_writes_a_file_for_its_owner_alone(self, inputs: list[str], tmp_path: Path, full: bytes) -> None:
        result = CliRunner().invoke(cli.command, inputs, catch_exceptions=False)
        assert result.exit_code == 0
        assert (tmp_path / "flash.bin").read_bytes() == full
        assert stat.S_IMODE((tmp_path / "flash.bin").stat().st_mode) == 0o600

    def test_warns_of_a_sandbox_root_and_records_it(self, inputs: list[str], tmp_path: Path, issuer: Issuer) -> None:
        (tmp_path / "root.pem").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
        result = CliRunner().invoke(cli.command, [*inputs, "--sandbox-root", str(tmp_path / "root.pem")])
        assert "WARNING" in result.stderr and "pose as AWS" in result.stderr
        found = inspect_image.inspect((tmp_path / "flash.bin").read_bytes())
        assert found.json_file("/build.json")["sandbox_root"] is True
        assert found.files["/roots/sandbox.der"] == issuer.certificate.public_bytes(Encoding.DER)

    def test_a_root_that_no_device_can_load_is_refused_before_anything_is_written(
        self, inputs: list[str], tmp_path: Path
    ) -> None:
        constrained = (x509.NameConstraints([x509.DNSName("a.example")], None), True)
        odd = certificate("Odd Root", generate_private_key(SECP256R1()), [constrained])
        (tmp_path / "root.pem").write_bytes(odd.public_bytes(Encoding.PEM))
        result = CliRunner().invoke(cli.command, [*inputs, "--sandbox-root", str(tmp_path / "root.pem")])
        assert isinstance(result.exception, BadInput)
        assert result.exception.what.startswith(
            "no device can load the root sandbox: Odd Root has a critical nameConstraints"
        )
        assert not (tmp_path / "flash.bin").exists()

    def test_inspect_shows_everything_but_secrets(self, tmp_path: Path, full: bytes, identity: DeviceIdentity) -> None:
        (tmp_path / "flash.bin").write_bytes(full)
        tree = CliRunner().invoke(cli.command, ["inspect", str(tmp_path / "flash.bin")], catch_exceptions=False).output
        as_json = CliRunner().invoke(cli.command, ["inspect", "--json", str(tmp_path / "flash.bin")]).output
        for shown in (tree, as_json):
            for part in ("esp_secure_cert", "sensor-1", identity.certificate_id, "amazon-root-ca-1", "tls.mpy", "a1b2c3"):
                assert part in shown
            assert "not-to-be-shown" not in shown and "PRIVATE" not in shown
            numbers = identity.key.private_numbers()
            assert isinstance(numbers, EllipticCurvePrivateNumbers)
            private = numbers.private_value
            assert str(private) not in shown and f"{private:x}" not in shown.lower()

    def test_diff_names_what_differs(
        self, tmp_path: Path, full: bytes, board: Board, application: Path, other_identity: DeviceIdentity
    ) -> None:
        changed = CONFIG | {"keep_alive": 120}
        other = image.build(board, changed, application, load_manifest().defaults(), built=BUILT, identity=other_identity)
        (tmp_path / "a.bin").write_bytes(full)
        (tmp_path / "b.bin").write_bytes(other.flash)
        result = CliRunner().invoke(cli.command, ["diff", str(tmp_path / "a.bin"), str(tmp_path / "b.bin")])
        assert result.exit_code == 1
        assert re.search(r"esp_secure_cert +sensor-1 → sensor-2", result.output)
        assert "vfs:/config.json" in result.output and "leaf" not in result.output
        same = CliRunner().invoke(cli.command, ["diff", str(tmp_path / "a.bin"), str(tmp_path / "a.bin")])
        assert (same.exit_code, same.output) == (0, "")

    @pytest.mark.parametrize(
        ("offset", "where"),
        [
            (0, "bootloader"),
            (0x8BFF, "partition table"),
            (0x8FFF, "0x008c00-0x009000"),
            (0xD010, "esp_secure_cert"),
            (0xEFFF, "esp_secure_cert"),
            (0xF123, "phy_init"),
            (0x1FFFFF, "factory"),
            (0x3FFFFF, "vfs"),
        ],
    )
    def test_one_bit_anywhere_is_a_difference(self, full: bytes, offset: int, where: str) -> None:
        other = bytearray(full)
        other[offset] ^= 1
        assert [difference.where for difference in inspect_image.diff(full, bytes(other))] == [where]

    def test_file_systems_that_cannot_be_mounted_are_compared_byte_by_byte(self, full: bytes) -> None:
        spoiled = bytearray(full)
        spoiled[0x200000:0x202000] = bytes(0x2000)
        other = bytearray(spoiled)
        other[0x250000:0x250010] = b"\x5a" * 16
        assert inspect_image.diff(bytes(spoiled), bytes(spoiled)) == []
        (difference,) = inspect_image.diff(bytes(spoiled), bytes(other))
        assert difference.where == "vfs" and "no LittleFS" in difference.what and "16 bytes differ" in difference.what

    def test_what_lies_behind_the_partitions_is_compared(self, golden: bytes) -> None:
        short = golden[:0x150000]  # the table says more than the file has
        for first, second in ((short, short[:-1] + b"\0"), (golden + b"\xff", golden + b"\0"), (golden, golden + b"\0")):
            assert inspect_image.diff(first, second) and not inspect_image.diff(first, first)

    def test_credential_partitions_alone_are_compared(
        self, identity: DeviceIdentity, other_identity: DeviceIdentity
    ) -> None:
        first, second = secure_cert.from_identity(identity), secure_cert.from_identity(other_identity)
        (difference,) = inspect_image.diff(first, second)
        assert (difference.where, difference.what) == ("esp_secure_cert", "sensor-1 → sensor-2")
        assert inspect_image.diff(first, first[:-1] + b"\0")[0].what == "sensor-1: 1 byte differs"

    def test_the_identity_is_an_output_of_its_own(self, tmp_path: Path, identity: DeviceIdentity) -> None:
        identity.save(tmp_path / "sensor-1")
        out = tmp_path / "sensor-1.bin"
        result = CliRunner().invoke(cli.command, ["identity", "--device", str(tmp_path / "sensor-1"), "-o", str(out)])
        assert result.exit_code == 0
        assert out.read_bytes() == secure_cert.from_identity(identity)
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        assert "sensor-1" in CliRunner().invoke(cli.command, ["inspect", str(out)]).output


def test_a_dump_of_a_board_that_is_not_ours_is_shown_as_far_as_it_goes(full: bytes) -> None:
    foreign = bytearray(full)
    foreign[0x200000:] = b"\xff" * (len(full) - 0x200000)
    foreign[0xD000:0xF000] = b"\xff" * 0x2000
    facts = inspect_image.facts(inspect_image.inspect(bytes(foreign)))
    assert facts["identity_problem"] == "the credential partition is empty"
    assert "no LittleFS" in facts["vfs_problem"]
    assert facts["micropython_problem"] == "none"
    with pytest.raises(BadInput, match="no partition table"):
        inspect_image.inspect(b"\xff" * 0x400000)


@pytest.mark.parametrize("size", [0x40000, 0x1F0000, 0x200000])
def test_the_file_system_has_exactly_the_blocks_of_its_partition(size: int) -> None:
    made = filesystem.build({"/a/b.txt": b"text"}, size)
    assert len(made) == size
    # The superblock: "littlefs", then version, block size, block count (littlefs SPEC.md).
    at = made.index(b"littlefs") + 8
    version, block, count = (int.from_bytes(made[at + 4 + 4 * n : at + 8 + 4 * n], "little") for n in range(3))
    assert (version, block, count) == (0x00020001, 4096, size // 4096)
    assert filesystem.read(made) == {"/a/b.txt": b"text"}
