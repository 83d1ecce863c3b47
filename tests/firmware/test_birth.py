"""Power fails within every single flash operation of an identity's birth on the board: no key that was shown is lost."""

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.board import partitions
from rootlet.pki.authority import Authority
from support.device import BOARD

from .conftest import RunLeaf

SCRIPT = (Path(__file__).parents[0] / "scripts" / "birth_cuts.py").read_text()


def test_a_power_cut_in_a_birth_loses_no_key_and_the_next_call_completes_it(
    leaf: RunLeaf, authority: Authority, tmp_path: Path
) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(b"\xff" * 0x8000 + partitions.encode(BOARD.partitions).ljust(BOARD.flash_size - 0x8000, b"\xff"))
    certificate = authority.issue("pump-7").certificate.public_bytes(Encoding.PEM).decode()
    answers = leaf(SCRIPT, {"flash": str(flash), "certificate": certificate}, timeout=100)
    assert answers == [[step, True, True] for step, *_ in answers]
    assert {step for step, *_ in answers} == {"request", "certified"}
    assert len(answers) > 5
