"""How fast `rootlet device issue-batch` is, as a ratio of what `cryptography` alone can do on the same cores.

    python bench/issue_batch.py [--count 10000] [--rounds 9]

Bare: as many processes as there are cores, each making keys and certificates of the same profile with the same calls, and
throwing them away. Rootlet, inside: the same number of identities in a batch directory on disk, durable (fsync) and
resumable, with as many processes. Rootlet, the command: that, and Python's start, all imports, and the CA's key decrypted.
All three are timed from the start of their processes to the end of the last one, in turns. A ratio is the median of the
rounds' ratios, with the quartiles; processor time, which a busy machine disturbs less, is compared as well.
"""

import argparse
import datetime as dt
import multiprocessing
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rootlet.pki import batch, names
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject

CORES = len(os.sched_getaffinity(0))
PASSPHRASE = "only for this run"
PATTERN = "sensor-#######"


class Took(NamedTuple):
    """Seconds: by the clock, and of all processors together."""

    wall: float
    processor: float


def bare_worker(issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey, count: int) -> None:
    issuer_ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    aki = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_ski)
    off = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    for number in range(count):
        key = ec.generate_private_key(ec.SECP256R1())
        public_key = key.public_key()
        now = dt.datetime.now(dt.UTC)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Batch 7"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"sensor-{number:05}"),
            ]
        )
        (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer.subject)
            .public_key(public_key)
            .serial_number(int.from_bytes(secrets.token_bytes(20), "big") >> 1)
            .not_valid_before(now - dt.timedelta(hours=24))
            .not_valid_after(now + dt.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=True, **off), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(aki, critical=False)
            .sign(issuer_key, hashes.SHA256())
        )


def bare(authority: Authority, count: int) -> None:
    context = multiprocessing.get_context("fork")
    arguments = (authority.certificate, authority.issuer.key, count // CORES)
    workers = [context.Process(target=bare_worker, args=arguments) for _ in range(CORES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def inside(authority: Authority, count: int, directory: Path) -> None:
    order = batch.BatchRequest(
        names.from_pattern(PATTERN, count), Subject(organization="Example", organizational_unit="Batch 7")
    )
    batch.issue(authority, directory, order, workers=CORES)


def command(authority: Authority, count: int, directory: Path) -> None:
    rootlet = [sys.executable, "-m", "rootlet.cli.main", "device", "issue-batch", str(directory), "--ca"]
    rootlet += [str(authority.directory), "--count", str(count), "--pattern", PATTERN, "--workers", str(CORES)]
    # As installed: modules are compiled once, not at each start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"ROOTLET_CA_PASSPHRASE": PASSPHRASE, "PYTHONPYCACHEPREFIX": str(directory.parent / "compiled")}
    subprocess.run(
        [*rootlet, "--organization", "Example", "--unit", "Batch 7"],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def timed(work: Callable[[], None]) -> Took:
    began, before = time.perf_counter(), os.times()
    work()
    took, after = time.perf_counter() - began, os.times()
    return Took(took, sum(after[:4]) - sum(before[:4]))


def written(directory: Path, count: int) -> None:
    """Check that the batch is there, and remove it."""
    assert sum(1 for _ in batch.read(directory)) == count
    shutil.rmtree(directory)


def show(name: str, count: int, times: list[Took], peer: list[Took]) -> None:
    print(f"  {name:<28} {count / statistics.median(took.wall for took in times):8.0f} /s", end="")
    if times is not peer:
        for field in ("wall", "processor"):
            ratios = [getattr(its, field) / getattr(ours, field) for ours, its in zip(times, peer, strict=True)]
            low, median, high = statistics.quantiles(ratios)
            print(f"   {field} {median:.2f} ({low:.2f} to {high:.2f})", end="")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    alone: list[Took] = []
    library: list[Took] = []
    whole: list[Took] = []
    with tempfile.TemporaryDirectory(dir=".") as work:
        authority = Authority.create(Path(work, "ca"), PASSPHRASE.encode(), name="Bench CA", subject=Subject())
        directory = Path(work, "batch")
        for number in range(options.rounds + 1):
            alone.append(timed(partial(bare, authority, options.count)))
            for times, way in ((library, inside), (whole, command)):
                times.append(timed(partial(way, authority, options.count, directory)))
                written(directory, options.count)
            if number == 0:  # the first round compiles and fills caches
                alone, library, whole = [], [], []
    print(f"{options.count} EC P-256 keys and certificates, {CORES} cores, {options.rounds} rounds; ratio to cryptography")
    show("cryptography alone", options.count, alone, alone)
    show("issue-batch, inside", options.count, library, alone)
    show("issue-batch, the command", options.count, whole, alone)


if __name__ == "__main__":
    main()
