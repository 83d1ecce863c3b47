"""Hostile input for what the host parses: ``python -m campaign.host_fuzz [--seed N] [--examples N]``.

The credential partition, certificates and requests for them, MQTT packets, policies and what they decide, the configuration:
whatever they hold, the answer is a result or the error that is documented. Hypothesis draws and shrinks the cases; the same
``--seed`` draws the same again.
"""

import argparse
import contextlib
import json
import ssl
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from rootlet import packets
from rootlet.board import config, secure_cert
from rootlet.errors import RootletError
from rootlet.pki import csr, identity, keys
from rootlet.pki.subject import Subject
from rootlet.policies import decision, document
from rootlet.policies.variables import Variables
from rootlet.trust import model

from campaign.fuzz import CONFIG, identity_bytes

EXAMPLES = 100  # of each, in the short slice

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(alphabet="a*?$/#+{}: 1", max_size=12) | st.sampled_from(
    ["iot:Publish", "${iot:ClientId}", "9" * 30, "2026-01-01", "10.0.0.0/8", "-1", "nan", "*a" * 40]
)
operators = st.sampled_from(
    ["StringLike", "NumericLessThan", "DateLessThan", "IpAddress", "Bool", "Null", "ForAllValues:StringEquals", "ArnNotLike"]
)
statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]), "Action": texts | st.lists(texts), "Resource": texts | st.lists(texts)},
    optional={
        "Sid": json_values,
        "Condition": json_values
        | st.dictionaries(operators, st.dictionaries(st.just("iot:ClientId"), texts | st.lists(texts), min_size=1)),
    },
)
names = st.sampled_from(sorted([*config.load_schema(), "strange"]))


@cache
def _sound() -> tuple[secure_cert.Entry, ...]:
    return secure_cert.decode(identity_bytes())


@given(number=st.integers(0, 2), place=st.integers(0, 600), change=st.binary(max_size=4), flags=st.integers(0, 255))
def credentials(number: int, place: int, change: bytes, flags: int) -> None:
    """Damage within an entry, under a checksum that is right."""
    entries = list(_sound())
    data = bytearray(entries[number].data)
    data[place : place + len(change)] = change
    entries[number] = secure_cert.Entry(entries[number].type, bytes(data), flags=flags & 1)
    _documented(lambda: secure_cert.to_identity(secure_cert.encode(entries)), RootletError)


@cache
def _request() -> bytes:
    subject = Subject().name("sensor-1")
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(keys.generate(), hashes.SHA256()).public_bytes(Encoding.DER)


@given(place=st.integers(0, 600), change=st.binary(max_size=4))
def certificate(place: int, change: bytes) -> None:
    """A damaged certificate in a chain to explain, or given as a device's."""
    data = bytearray(_sound()[0].data)
    data[place : place + len(change)] = change
    pem = ssl.DER_cert_to_PEM_cert(bytes(data)).encode()
    for given_ in (bytes(data), pem):
        _documented(lambda given_=given_: model.parse(given_, "the file"), RootletError)  # type: ignore[misc]
    with _file(pem) as path:
        _documented(lambda: [identity.common_name(one) for one in identity.load_certificates(path)], RootletError)


@given(place=st.integers(0, 300), change=st.binary(max_size=4))
def request(place: int, change: bytes) -> None:
    data = bytearray(_request())
    data[place : place + len(change)] = change
    with _file(bytes(data)) as path:
        _documented(lambda: csr.read(path), RootletError)


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


@given(st.binary(max_size=200))
def partition(data: bytes) -> None:
    _documented(lambda: secure_cert.to_identity(data), RootletError)
    _documented(lambda: secure_cert.to_identity(secure_cert.MAGIC_BYTES + data), RootletError)


@given(st.binary(max_size=100), st.integers(0, 15))
def packet(data: bytes, kind: int) -> None:
    sent = bytes([kind << 4 | (2 if kind in (6, 8, 10) else 0), len(data)]) + data
    _documented(lambda: packets.Decoder(longest=1000).feed(sent), packets.MalformedPacket)


@given(st.lists(statements, max_size=3), texts, texts)
def policy(given_: list[Any], resource: str, client: str) -> None:
    variables = Variables({"iot:ClientId": [client]})

    def decide() -> None:
        parsed = document.parse("p", json.dumps({"Version": "2012-10-17", "Statement": given_}))
        decision.decide([parsed], "iot:Publish", resource + "a" * 200, variables)

    _documented(decide, RootletError)


@given(st.text(max_size=20) | st.integers(1, 200_000).map(lambda deep: "[" * deep) | json_values.map(json.dumps))
def policy_text(text: str) -> None:
    _documented(lambda: document.parse("p", text), RootletError)


@given(st.dictionaries(names, json_values, max_size=3))
def configuration(values: dict[str, Any]) -> None:
    problem = config.check(CONFIG | values, config.load_schema())
    assert problem is None or isinstance(problem, str)
    config.redact(values)


FUZZES = (credentials, certificate, request, partition, packet, policy, policy_text, configuration)


def _documented(parse: Callable[[], object], allowed: type[Exception]) -> None:
    with contextlib.suppress(allowed):
        parse()


def run(fuzz: Callable[[], None], number: int, examples: int) -> None:
    """Draw ``examples`` cases from seed ``number``. Raises what a case raised that it should not have, shrunk."""
    limits = settings(
        max_examples=examples, deadline=5000, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )
    seed(number)(limits(fuzz))()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=20_000, help="of each kind of input")
    arguments = parser.parse_args()
    failed = 0
    warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning)  # of the damage that is done on purpose
    for fuzz in FUZZES:
        try:
            run(fuzz, arguments.seed, arguments.examples)
        except Exception as error:
            failed += 1
            print(f"seed {arguments.seed}: {fuzz.__name__}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            print("\n".join(getattr(error, "__notes__", [])), flush=True)
    print(f"{len(FUZZES)} kinds of input, {arguments.examples} examples each, {failed} with findings")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
