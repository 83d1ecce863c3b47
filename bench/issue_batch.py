"""How fast `rootlet device issue-batch` is, as a ratio of what `cryptography` alone can do on the same cores.

    python bench/issue_batch.py [--count 10000] [--rounds 5]

Bare: as many processes as there are cores, each making keys and certificates of the same profile with the same calls, and
throwing them away. Rootlet: the same number of identities in a batch directory on disk, durable (fsync) and resumable.
Both are timed from the start of their processes to the end of the last one, in turns; the ratio is that of the medians.
"""

import argparse
import datetime as dt
import multiprocessing
import os
import secrets
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rootlet.pki import batch, names
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject

CORES = len(os.sched_getaffinity(0))


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


def bare(authority: Authority, count: int) -> float:
    context = multiprocessing.get_context("fork")
    arguments = (authority.certificate, authority.issuer.key, count // CORES)
    began = time.perf_counter()
    workers = [context.Process(target=bare_worker, args=arguments) for _ in range(CORES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def rootlet(authority: Authority, count: int, directory: Path) -> float:
    order = batch.BatchRequest(
        names.from_pattern("sensor-#####", count), Subject(organization="Example", organizational_unit="Batch 7")
    )
    began = time.perf_counter()
    batch.issue(authority, directory, order)
    took = time.perf_counter() - began
    assert sum(1 for _ in batch.read(directory)) == count
    shutil.rmtree(directory)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as work:
        authority = Authority.create(Path(work, "ca"), b"only for this run", name="Bench CA", subject=Subject())
        pairs = [
            (bare(authority, options.count), rootlet(authority, options.count, Path(work, "batch")))
            for _ in range(options.rounds)
        ]
    bare_rate, our_rate = (options.count / statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"{options.count} EC P-256 keys and certificates, {CORES} cores, {options.rounds} rounds, medians")
    print(f"  cryptography alone           {bare_rate:8.0f} /s")
    print(f"  rootlet device issue-batch   {our_rate:8.0f} /s")
    print(f"  ratio                        {our_rate / bare_rate:8.2f}")


if __name__ == "__main__":
    main()
