"""``rootlet chain``: what a server shows, how it hangs together, and whether a device would connect."""

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.options import PATH, address_option, baud_option, json_option, timeout_option
from rootlet.cli.output import emit_json, err
from rootlet.errors import BadInput, RootletError

if TYPE_CHECKING:
    from rootlet.trust.fetch import Offer, Served
    from rootlet.trust.model import Certificate
    from rootlet.trust.report import ChainReport


@panels.command(
    epilog="""\b
Examples:
  rootlet chain a1b2c3-ats.iot.eu-west-1.amazonaws.com
  rootlet chain --aws --image flash.bin --html chain.html
  rootlet chain HOST:443 --algorithm rsa --tls 1.3 --at 2035-01-01
  rootlet chain HOST --cert devices/sensor-1/device.crt --key devices/sensor-1/device.key
  rootlet chain fullchain.pem
  rootlet chain --image flash.bin
  rootlet chain --port /dev/ttyUSB0
\b
Exit: 0 a device with these roots would connect, 1 it would not, 2 wrong input.
"""
)
@click.argument("target", required=False, metavar="[HOST[:PORT]|FILE]")
@click.option("--aws", is_flag=True, help="Ask the AWS account for its endpoint.")
@click.option(
    "--algorithm",
    type=click.Choice(["ecdsa", "rsa", "both"]),
    default="both",
    show_default=True,
    help="Ask for the chain of this algorithm.",
)
@click.option(
    "--tls", "version", type=click.Choice(["1.2", "1.3", "any"]), default="1.2", show_default=True, help="Devices speak 1.2."
)
@click.option("--ciphers", help="An OpenSSL cipher string, in place of the device's suites.")
@click.option("--cert", type=PATH, help="A client certificate (PEM), with --key.")
@click.option("--key", type=PATH, help="Its private key.")
@click.option(
    "--root",
    "named_roots",
    multiple=True,
    metavar="NAME|FILE",
    help="Judge by these roots; default: those embedded by default.",
)
@click.option("--image", type=PATH, help="Judge by the roots in a flash image, and show its device's chain.")
@click.option("--port", help="The same with a board: its serial port.")
@baud_option(460_800)
@click.option("--at", "date", metavar="DATE", help="Judge at this date: 2035-01-01, or 2035-01-01T12:00.")
@click.option("--hostname", help="With FILE: the host name that the certificate must hold.")
@address_option
@timeout_option
@json_option
@click.option("--html", type=PATH, help="Write a page with both chains drawn.")
@click.option("--pem", type=PATH, help="Save the certificates that came, in their order.")
def command(
    target: str | None,
    aws: bool,
    algorithm: str,
    version: str,
    ciphers: str | None,
    cert: Path | None,
    key: Path | None,
    named_roots: tuple[str, ...],
    image: Path | None,
    port: str | None,
    baud: int,
    date: str | None,
    hostname: str | None,
    address: str | None,
    timeout: float,
    as_json: bool,
    html: Path | None,
    pem: Path | None,
) -> None:
    """Show a server's chain and whether a device would connect."""
    from rootlet.trust.fetch import Offer
    from rootlet.trust.report import ChainReport, key_types
    from rootlet.trust.report import as_json as to_json

    if (cert is None) != (key is None):
        raise BadInput("--cert and --key go together", hint="give both, or neither")
    if aws and target:
        raise BadInput("--aws and a host", hint="give one of them")
    at = _date(date)
    source = _source(image, port, baud)
    roots = source.roots if source and not named_roots else _roots(named_roots)
    if aws:
        from rootlet.cloud import registration

        target = registration.endpoint(account.iot())
    report = ChainReport(target or str(image or port), at, roots)
    if target and (path := _existing(target)):
        _add_file(report, path, hostname)
    elif target:
        offered = key_types(list(roots.values()))
        kinds = tuple(kind for kind in offered if algorithm in (kind, "both"))
        if not kinds and not ciphers:
            raise BadInput(
                f"--algorithm {algorithm}: a device with these roots ({', '.join(roots)}) offers no such suite",
                hint="choose another --algorithm, or other roots with --root",
            )
        offer = Offer(kinds, version, ciphers, cert, key)
        _add_server(report, target, offer, address, timeout, alternatives=algorithm == "both" and not ciphers)
    elif not source:
        raise BadInput("nothing to look at", hint="name a HOST, a FILE, --aws, --image or --port")
    if source:
        _add_device(report, source)
    _save(report, html, pem)
    if as_json:
        emit_json(to_json(report))
    else:
        from rootlet.cli.trust import chain_view

        chain_view.show(report)
    sys.exit(1 if report.ok is False else 0)


def _add_server(
    report: "ChainReport", target: str, offer: "Offer", address: str | None, timeout: float, *, alternatives: bool
) -> None:
    from dataclasses import replace

    from rootlet.trust.fetch import fetch, parse_target
    from rootlet.trust.report import server_end

    host, port = parse_target(target)
    roots = list(report.roots.values())
    served = fetch(host, port, offer, timeout=timeout, connect_to=address)
    end = server_end("server, as a device is served", served, roots, report.at)
    report.ends.append(end)
    assert end.verdict is not None
    report.ok = end.verdict.ok and not _unfinished(served)
    if served.failure and end.verdict.ok and not _unfinished(served):
        report.notes.append(
            f"The server ended the handshake without a client certificate ({served.failure}); "
            "give --cert and --key to finish it."
        )
    for kind in ("ecdsa", "rsa") if alternatives else ():
        try:
            other = fetch(host, port, replace(offer, key_types=(kind,)), timeout=timeout, connect_to=address)
        except RootletError as error:
            report.notes.append(f"No {kind.upper()} chain: {error.what}")
            continue
        if other.chain != served.chain:
            report.ends.append(server_end(f"server, {kind.upper()} only", other, roots, report.at))


def _unfinished(served: "Served") -> bool:
    # Without a client certificate of ours, ending after the server's is what an endpoint with mutual TLS does.
    return bool(served.failure) and served.offer.certificate is not None


def _add_file(report: "ChainReport", path: Path, name: str | None) -> None:
    from rootlet.trust.judge import judge
    from rootlet.trust.report import chain_end
    from rootlet.trust.stores import from_file

    chain = from_file(path)
    roots = list(report.roots.values())
    server = not chain[0].is_authority and "clientAuth" not in chain[0].extended_key_usage
    verdict = judge(chain, roots, name, report.at) if server or name else None
    report.ends.append(chain_end(f"file {path.name}", chain, roots, verdict))
    report.ok = verdict.ok if verdict else None


class _Source:
    """What an image or a board holds: the roots it embeds, and its device's chain."""

    def __init__(self, where: str, roots: "dict[str, Certificate]", chain: "list[Certificate]", problem: str | None) -> None:
        self.where, self.roots, self.chain, self.problem = where, roots, chain, problem


def _source(image: Path | None, port: str | None, baud: int) -> _Source | None:
    if image and port:
        raise BadInput("--image and --port", hint="give one of them")
    if image:
        from rootlet.board import inspect_image

        contents = inspect_image.inspect(inspect_image.read(image))
        files = {name: data for name, data in contents.files.items() if name.startswith("/roots/")}
        return _made(image.name, files, contents.identity, contents.identity_problem)
    if port:
        from rootlet.board import flasher
        from rootlet.cli.board.options import connected, restarted

        with connected(port, baud) as chip:
            table = flasher.read_table(chip)
            problem = None
            try:
                identity = flasher.read_identity(chip, table)
            except RootletError as error:
                identity, problem = None, error.what
            files = flasher.files(chip, table, lambda name: name.startswith("/roots/"))
            restarted(chip)
        return _made(port, files, identity, problem)
    return None


def _made(where: str, files: "dict[str, bytes]", identity: object, problem: str | None) -> _Source:
    from cryptography.hazmat.primitives.serialization import Encoding

    from rootlet.pki.identity import DeviceIdentity
    from rootlet.trust.model import Certificate, readable

    roots = {}
    for name, der in sorted(files.items()):
        if found := readable([der]):
            roots[name.removeprefix("/roots/").removesuffix(".der")] = found[0]
    chain = []
    if isinstance(identity, DeviceIdentity):
        chain = [Certificate(c.public_bytes(Encoding.DER)) for c in (identity.certificate, *identity.issuers)]
    return _Source(where, roots, chain, problem or (None if chain else "no identity in it"))


def _add_device(report: "ChainReport", source: _Source) -> None:
    from rootlet.trust.report import chain_end

    if source.chain:
        top = [certificate for certificate in source.chain if certificate.self_issued]
        report.ends.append(chain_end(f"device in {source.where}", source.chain, top))
    elif source.problem:
        report.notes.append(f"No device chain in {source.where}: {source.problem}")


def _roots(names: Sequence[str]) -> "dict[str, Certificate]":
    from rootlet.trust.roots import load_manifest
    from rootlet.trust.stores import from_file, pinned

    manifest = load_manifest()
    known = pinned(manifest)
    if not names:
        return {root.name: known[root.name] for root in manifest.defaults()}
    roots = {}
    for name in names:
        if name in known:
            roots[name] = known[name]
        elif Path(name).is_file():
            roots |= {f"{Path(name).name}#{n}" if n else Path(name).name: c for n, c in enumerate(from_file(Path(name)))}
        else:
            raise BadInput(f"--root {name}: no pinned root and no file", hint=f"choose from: {', '.join(known)}")
    return roots


def _date(text: str | None) -> dt.datetime:
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--at {text}: no date", hint="write it as 2035-01-01 or 2035-01-01T12:00") from None
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)


def _existing(target: str) -> Path | None:
    path = Path(target)
    if path.exists():
        return path
    if "/" in target or target.endswith((".pem", ".crt", ".der", ".cer")):
        raise BadInput(f"{target}: no such file", hint="name a file, or a HOST[:PORT]")
    return None


def _save(report: "ChainReport", html: Path | None, pem: Path | None) -> None:
    from rootlet.files import write_atomic

    if html:
        from rootlet.trust.page import render

        write_atomic(html, render(report).encode())
        err.print(f"wrote {html}")
    if pem:
        write_atomic(pem, b"".join(certificate.pem() for certificate in report.ends[0].sent))
        err.print(f"wrote {pem}: {len(report.ends[0].sent)} certificates")
