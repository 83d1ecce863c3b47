"""An identity is born on a board: the virtual board behind a serial line, driven by the commands as a user types them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rootlet.board import partitions, secure_cert
from rootlet.board.definition import Board
from rootlet.cli.board import flash as flash_cli
from rootlet.cli.identity import device as device_cli
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from support.serial_board import SerialBoard


@pytest.fixture
def born(golden: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "flash.bin"
    path.write_bytes(golden)
    return path


def run(command: object, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def credentials(flash: Path, board: Board) -> bytes:
    place = partitions.find(board.partitions, partitions.SECURE_CERT)
    return flash.read_bytes()[place.offset : place.end]


def certified(authority: Authority, request: Path, directory: Path) -> Path:
    csr = x509.load_pem_x509_csr(request.read_bytes())
    certificate = authority.certify("pump-7", csr.public_key())  # type: ignore[arg-type]
    path = directory / "certificate.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def test_a_board_makes_its_key_and_becomes_the_device(
    born: Path, board: Board, authority: Authority, tmp_path: Path
) -> None:
    request = tmp_path / "pump-7.csr"
    with SerialBoard(born) as line:
        made = run(device_cli.command, "csr", "pump-7", "--port", line.port, "-o", request, "--json")
        assert made.exit_code == 0, made.exception
        assert json.loads(made.stdout) == {"thing": "pump-7", "port": line.port, "request": str(request)}
        again = run(device_cli.command, "csr", "pump-7", "--port", line.port, "-o", tmp_path / "again.csr")
        assert again.exit_code == 0, again.exception
        assert (tmp_path / "again.csr").read_bytes() == request.read_bytes()
        brought = run(flash_cli.command, "--certificate", certified(authority, request, tmp_path), "--port", line.port)
        assert brought.exit_code == 0, brought.exception
        assert "is pump-7, certificate" in brought.stdout
    with SerialBoard(born) as line:
        late = run(device_cli.command, "csr", "pump-7", "--port", line.port, "-o", request)
        assert "has an identity already" in str(late.exception)
    identity = secure_cert.to_identity(credentials(born, board))
    assert identity.thing == "pump-7"
    secret = identity.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert secret.hex() not in made.output + again.output + brought.output


def test_the_certificate_of_another_key_is_refused(
    born: Path, board: Board, identity: DeviceIdentity, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    with SerialBoard(born) as line:
        early = run(flash_cli.command, "--certificate", other, "--port", line.port)
        assert isinstance(early.exception, RootletError) and "has made no key" in early.exception.what
        assert run(device_cli.command, "csr", "pump-7", "--port", line.port, "-o", tmp_path / "r").exit_code == 0
        before = credentials(born, board)
        result = run(flash_cli.command, "--certificate", other, "--port", line.port)
        assert isinstance(result.exception, RootletError)
        assert "is not the one of certificate sensor-1" in result.exception.what
        assert "rootlet device csr" in str(result.exception.hint)
    assert credentials(born, board) == before


def test_a_board_with_an_identity_of_the_factorys_is_refused(full: bytes, board: Board, tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(full)
    with SerialBoard(flash) as line:
        result = run(device_cli.command, "csr", "pump-7", "--port", line.port, "-o", tmp_path / "request")
    assert isinstance(result.exception, RootletError)
    assert "did not make itself" in result.exception.what
    assert not (tmp_path / "request").exists()
    assert credentials(flash, board) == credentials_of(full, board)


def credentials_of(flash: bytes, board: Board) -> bytes:
    place = partitions.find(board.partitions, partitions.SECURE_CERT)
    return flash[place.offset : place.end]


def test_more_than_one_thing_to_flash_is_refused(tmp_path: Path) -> None:
    result = run(flash_cli.command, "--certificate", tmp_path / "c.pem", "--identity-only", "--thing", "pump-7")
    assert isinstance(result.exception, RootletError)
    assert "one of IMAGE" in result.exception.what
