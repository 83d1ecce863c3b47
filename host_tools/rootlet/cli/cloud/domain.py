"""``rootlet cloud domain``: the host names that devices may connect to, and whether a device could."""

import datetime as dt
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.options import TCP_PORT, address_option, json_option, timeout_option
from rootlet.cli.output import emit_json, out

if TYPE_CHECKING:
    from rootlet.cloud.domains import Domain, DomainRule
    from rootlet.trust.examine import Question
    from rootlet.trust.model import Certificate
    from rootlet.trust.report import ChainReport


@panels.group(name="domain")
def command() -> None:
    """List and check the domains that devices connect to."""


@command.command(name="list", epilog="\b\nExample:\n  rootlet cloud domain list\n")
@json_option
def list_(as_json: bool) -> None:
    """List the account's domain configurations."""
    from rootlet.cloud import domains

    found = domains.domains(account.iot())
    if as_json:
        emit_json([asdict(domain) for domain in found])
        return
    for domain in found:
        state = "" if domain.enabled else " [yellow]DISABLED[/]"
        out.print(f"{escape(domain.name)}{state}  {escape(domain.host)}")
        out.print(f"  {domain.kind}, {domain.service}, {escape(domain.security_policy or 'no security policy')}")


@command.command(
    epilog="""\b
Examples:
  rootlet cloud domain show iot:Data-ATS
  rootlet cloud domain show mqtt.example.com --json
"""
)
@click.argument("name", metavar="NAME|HOST")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the TLS policy, protocol and certificates of a domain."""
    from rootlet.cloud import domains

    domain = domains.find(account.iot(), name)
    if as_json:
        emit_json(asdict(domain))
        return
    tls = f" (TLS {', '.join(domain.tls)})" if domain.tls else ""
    rows = [
        ("host", domain.host),
        ("kind", domain.kind),
        ("status", "ENABLED" if domain.enabled else "DISABLED"),
        ("service", domain.service),
        ("security policy", f"{domain.security_policy or 'none'}{tls}"),
        ("authentication", domain.authentication),
        ("protocol", domain.protocol),
        *(("certificate", f"{arn}, {status}") for arn, status in domain.certificates),
        ("OCSP stapling", "on; devices do not check it" if domain.ocsp else "off"),
    ]
    out.print(escape(domain.name))
    for label, value in rows:
        out.print(f"  {label:<16}{escape(value)}")


@command.command(
    epilog="""\b
Examples:
  rootlet cloud domain check
  rootlet cloud domain check fleet-domain
  rootlet cloud domain check mqtt.example.com --root our-root.pem
\b
Exit: 0 a device could connect to each that is checked, 1 not to one of them.
"""
)
@click.argument("names", nargs=-1, metavar="[NAME|HOST]...")
@click.option(
    "--root",
    "named_roots",
    multiple=True,
    metavar="NAME|FILE",
    help="Judge by these roots; default: those embedded by default.",
)
@address_option
@click.option("--mqtt-port", type=TCP_PORT, help="Connect to this port of each domain. [default: 8883, or the sandbox's]")
@timeout_option
@json_option
def check(
    names: tuple[str, ...],
    named_roots: tuple[str, ...],
    address: str | None,
    mqtt_port: int | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Check whether a device could connect to the domains.

    Each rule of the domain's settings is judged, then its server's chain, as `rootlet chain` does. Without a name all
    domains are checked that are for devices and enabled.
    """
    from rootlet.cli.trust.chain import named
    from rootlet.cloud import domains
    from rootlet.trust.examine import Question
    from rootlet.trust.fetch import MQTT_PORT

    iot, sandbox = account.iot(), account.sandbox()
    roots = named(named_roots)
    if sandbox:  # one address for all names, and a root of its own
        address, mqtt_port = address or "127.0.0.1", mqtt_port or sandbox.mqtt_port
        roots |= {} if named_roots else named((sandbox.root,))
    chosen = [domains.find(iot, name) for name in names] or [
        domain for domain in domains.domains(iot) if domain.enabled and domain.service == domains.DATA
    ]
    question = Question(address=address, timeout=timeout, alternatives=False)
    checked = [_check(domain, roots, mqtt_port or MQTT_PORT, question) for domain in chosen]
    if as_json:
        emit_json([result.as_dict() for result in checked])
    for result in () if as_json else checked:
        result.show()
    sys.exit(0 if all(result.ok for result in checked) else 1)


class _Checked:
    """A domain, the rules of its settings, and its server's chain, or why that could not be seen."""

    def __init__(self, domain: "Domain", rules: "list[DomainRule]", report: "ChainReport", problem: str) -> None:
        self.domain, self.rules, self.report, self.problem = domain, rules, report, problem
        self.ok = all(rule.ok is not False for rule in rules) and report.ok is True

    def as_dict(self) -> dict[str, Any]:
        from rootlet.trust.report import as_json

        rules = [asdict(rule) for rule in self.rules]
        chain = None if self.problem else as_json(self.report)
        return {"domain": asdict(self.domain), "ok": self.ok, "rules": rules, "problem": self.problem, "chain": chain}

    def show(self) -> None:
        out.print(f"[bold]{escape(self.domain.name)}[/] {escape(self.domain.host)}")
        for rule in self.rules:
            self._line(rule.ok, rule.name, rule.text, rule.hint)
        judged = next((end.verdict for end in self.report.ends if end.verdict), None)
        for broken in [rule for rule in judged.rules if not rule.ok] if judged else ():
            self._line(False, broken.name, f"{broken.text} ({broken.word})", "")
        if self.problem:
            self._line(False, "chain", self.problem, "")
        elif judged and judged.ok:
            path = " < ".join(certificate.common_name for certificate in self.report.ends[0].drawn)
            self._line(True, "chain", path, "")
            self._line(None, "revocation", dict(self.report.ends[0].facts)["revocation"], "")
        verdict = "[bold green]could connect[/]" if self.ok else "[bold red]could not connect[/]"
        out.print(f"  A device {verdict}.")

    @staticmethod
    def _line(ok: bool | None, name: str, text: str, hint: str) -> None:
        mark = {True: "[green]ok[/] ", False: "[red]NO[/] ", None: "--  "}[ok]
        out.print(f"  {mark} {name:<11} {escape(text)}")
        if hint:
            out.print(f"       {'':<11} [bold]hint:[/] {escape(hint)}")


def _check(domain: "Domain", roots: "dict[str, Certificate]", port: int, question: "Question") -> _Checked:
    from rootlet.cloud import domains
    from rootlet.errors import RootletError
    from rootlet.trust import examine
    from rootlet.trust.report import ChainReport

    report = ChainReport(domain.host, dt.datetime.now(dt.UTC), roots)
    rules, problem = list(domains.rules(domain)), ""
    try:
        if domain.service == domains.DATA:
            examine.server(report, f"{domain.host}:{port}", question)
    except RootletError as error:
        problem = f"{error.what}; {error.hint}"
    return _Checked(domain, rules, report, problem)
