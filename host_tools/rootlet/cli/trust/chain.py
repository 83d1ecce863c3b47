"""``rootlet chain``: what a server shows, how it hangs together, and whether a device would connect."""

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from rootlet.cli import panels, project_roots
from rootlet.cli.cloud import account
from rootlet.cli.options import PATH, SERIAL_PORT, address_option, baud_option, json_option, timeout_option
from rootlet.cli.output import emit_json, err
from rootlet.errors import BadInput
from rootlet.words import number_of

if TYPE_CHECKING:
    from rootlet.board.embedded import Embedded
    from rootlet.trust.model import Certificate
    from rootlet.trust.report import ChainReport


@panels.command(
    epilog="""\b
Examples:
  rootlet chain a1b2c3-ats.iot.eu-west-1.amazonaws.com
  rootlet chain --aws --image flash.bin --html chain.html
  rootlet chain --domain fleet-domain --image flash.bin
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
@click.option("--domain", metavar="NAME", help="Ask it for the host of this domain configuration.")
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
    help="Judge by these roots; default: those that images embed here, with those of roots.toml.",
)
@click.option("--image", type=PATH, help="Judge by the roots in a flash image, and show its device's chain.")
@click.option("--port", type=SERIAL_PORT, help="The same with a board: its serial port.")
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
    domain: str | None,
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
    from rootlet.trust import examine
    from rootlet.trust.report import ChainReport

    _check_together([target, aws, domain], cert, key)
    source = _source(image, port, baud)
    roots = source.roots if source and not named_roots else named(named_roots)
    target = target or _configured(aws, domain)
    report = ChainReport(target or str(image or port), _date(date), roots)
    if target and (path := _existing(target)):
        examine.file(report, path, hostname)
    elif target:
        examine.server(report, target, examine.Question(algorithm, version, ciphers, cert, key, address, timeout))
    elif not source:
        raise BadInput(
            "no server, file, image or board is named", hint="name a HOST, a FILE, --aws, --domain, --image or --port"
        )
    if source:
        _add_device(report, source)
    _save(report, html, pem)
    _show(report, as_json)
    sys.exit(1 if report.ok is False else 0)


def _check_together(hosts: "Sequence[str | bool | None]", cert: Path | None, key: Path | None) -> None:
    if (cert is None) != (key is None):
        raise BadInput("--cert and --key go together", hint="give both, or neither")
    if sum(map(bool, hosts)) > 1:
        raise BadInput("a host, --aws and --domain exclude each other", hint="give one of them")


def _configured(aws: bool, domain: str | None) -> str | None:
    """The host that the account says."""
    from rootlet.cloud import domains, registration

    if domain:
        return domains.find(account.iot(), domain).host
    return registration.endpoint(account.iot()) if aws else None


def _source(image: Path | None, port: str | None, baud: int) -> "Embedded | None":
    if image and port:
        raise BadInput("--image and --port exclude each other", hint="give one of them")
    if not image and not port:
        return None
    from rootlet.board import embedded

    if image:
        return embedded.in_image(image)
    from rootlet.cli.board.connection import connected, restarted

    with connected(port, baud) as chip:
        found = embedded.on_board(chip, str(port))
        restarted(chip)
    return found


def _add_device(report: "ChainReport", source: "Embedded") -> None:
    from rootlet.trust.report import chain_end

    if source.chain:
        top = [certificate for certificate in source.chain if certificate.self_issued]
        report.ends.append(chain_end(f"device in {source.where}", source.chain, top))
    elif source.problem:
        report.notes.append(f"No device chain in {source.where}: {source.problem}")


def _show(report: "ChainReport", as_json: bool) -> None:
    from rootlet.cli.trust import chain_view
    from rootlet.trust import report as reports

    if as_json:
        emit_json(reports.as_json(report))
    else:
        chain_view.show(report)


def named(names: Sequence[str]) -> "dict[str, Certificate]":
    """The roots of these names, pinned ones or those in a file; those embedded by default for none. Raises BadInput."""
    from rootlet.trust.own_roots import with_own
    from rootlet.trust.stores import from_file, pinned

    manifest = with_own(project_roots.found(None))
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
            raise BadInput(f"--root {name}: neither a pinned root nor a file", hint=f"choose from: {', '.join(known)}")
    return roots


def _date(text: str | None) -> dt.datetime:
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--at {text}: not a date", hint="write it as 2035-01-01 or 2035-01-01T12:00") from None
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
        err.print(f"wrote {pem}: {number_of(len(report.ends[0].sent), 'certificate')}")
