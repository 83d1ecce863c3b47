"""Whatever a server's certificate holds, nothing escapes from the callback that mbedTLS calls."""

import random
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from support.chains import latin_1, make_chain

from .conftest import RunLeaf

SCRIPT = (Path(__file__).parent / "scripts" / "verify_callback.py").read_text()


def test_a_certificate_that_cannot_be_read_is_noted_and_nothing_is_raised(leaf: RunLeaf) -> None:
    chain = make_chain()
    der = chain.server.public_bytes(Encoding.DER)
    draw = random.Random(15)
    damaged = [der[: draw.randrange(len(der))] for _ in range(20)]
    for _ in range(60):
        one = bytearray(der)
        for _ in range(3):
            one[draw.randrange(len(one))] = draw.randrange(256)
        damaged.append(bytes(one))
    given = [der, latin_1(chain).server.public_bytes(Encoding.DER), b"", b"\x30", *damaged]
    found = leaf(SCRIPT, [one.hex() for one in given])
    sound, latin, *rest = found["given"]
    assert sound == [0, [["Test Intermediate", "*.iot.eu-west-1.localhost"]]]
    assert latin == [0, [["Test Intermediate", "Z\u00fc\u00fcrich"]]]
    assert all(isinstance(one, list) and one[0] == 0 and len(one[1]) == 1 for one in rest)
    assert [0, [["?", "?"]]] in rest
    assert found["interrupted"] == [0, [["?", "?"]]]
    assert found["full"] == 0
