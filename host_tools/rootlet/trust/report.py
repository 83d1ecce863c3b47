"""The report about both ends of a connection: the chains, the links in them, and the verdict of a device."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rootlet.trust import staple
from rootlet.trust.fetch import KeyType, Served
from rootlet.trust.judge import ChainVerdict, judge
from rootlet.trust.links import LinkFinding, Links, link
from rootlet.trust.loading import unloadable
from rootlet.trust.model import Certificate
from rootlet.trust.stores import whereabouts
from rootlet.words import number_of


@dataclass(frozen=True)
class End:
    """One chain, the server's or the device's. ``facts`` are (name, value); ``verdict`` is None where nothing was judged."""

    title: str
    facts: tuple[tuple[str, str], ...]
    sent: tuple[Certificate, ...]
    links: Links
    verdict: ChainVerdict | None
    anchor: Certificate | None
    anchor_text: str

    @property
    def drawn(self) -> list[Certificate]:
        """From the top down: the root, where there is one, then each certificate down to the end entity."""
        path = self.verdict.path if self.verdict else self.links.best.certificates
        whole = [*path, *([self.anchor] if self.anchor and self.anchor not in path else [])]
        return whole[::-1]


@dataclass
class ChainReport:
    """The report of ``rootlet chain``. ``ok`` says whether a device with these roots would connect; None: not judged."""

    target: str
    at: dt.datetime
    roots: dict[str, Certificate]
    ends: list[End] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ok: bool | None = None


def key_types(roots: Sequence[Certificate]) -> tuple[KeyType, ...]:
    """The offer of a device with these roots: suites only for chains that can end at one (firmware/leaf/trust.py)."""
    roots = [root for root in roots if not unloadable(root)]
    kinds: list[KeyType] = []
    if any(root.key.startswith("EC") for root in roots):
        kinds.append("ecdsa")
    if any(root.key.startswith("RSA") for root in roots):
        kinds.append("rsa")
    return tuple(kinds)


def server_end(title: str, served: Served, roots: Sequence[Certificate], at: dt.datetime) -> End:
    """The report on a server's chain, judged with ``roots`` at ``at`` under the requested host name."""
    facts = [("TLS", f"{served.version} {served.cipher}".strip())]
    if served.failure:
        facts.append(("handshake", f"failed: {served.failure}"))
    stapled = staple.read(served.staple, served.chain, roots, at)
    facts.append(("revocation", f"{f'OCSP staple: {stapled}' if stapled else 'no OCSP staple'}; a device does not check it"))
    if served.unreadable:
        facts.append(("unreadable", f"{number_of(served.unreadable, 'certificate')} could not be parsed"))
    verdict = judge(served.chain, roots, served.host, at, served.message_size, served.unreadable)
    return _end(title, tuple(facts), served.chain, roots, verdict)


def chain_end(
    title: str, chain: Sequence[Certificate], roots: Sequence[Certificate], verdict: ChainVerdict | None = None
) -> End:
    """The report on a chain from a file, an image or a board."""
    return _end(title, (), tuple(chain), roots, verdict)


def _end(
    title: str,
    facts: tuple[tuple[str, str], ...],
    sent: tuple[Certificate, ...],
    roots: Sequence[Certificate],
    verdict: ChainVerdict | None,
) -> End:
    links = link(sent, roots)
    if verdict is None:  # in a device's own store, or a file, a root is in its place
        links = Links(links.paths, tuple(finding for finding in links.findings if finding.kind != "superfluous"))
    if verdict and not verdict.anchor and links.best.anchor and not any(f.kind == "reordered" for f in links.findings):
        links = Links(links.paths, (*links.findings, _other_way(links)))
    anchor = verdict.anchor if verdict else links.best.anchor
    top = anchor or next((c for c in links.best.certificates[::-1] if c.self_issued), None)
    text = whereabouts(top, roots).text() if top and verdict else ""
    return End(title, facts, sent, links, verdict, anchor, text)


def _other_way(links: Links) -> LinkFinding:
    names = " → ".join(certificate.common_name for certificate in links.best.whole)
    text = f"a path exists ({names}), but the device does not use it: it follows the first matching issuer only"
    return LinkFinding("cross-signed", text)


def as_json(report: ChainReport) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "target": report.target,
        "at": report.at.isoformat(),
        "would_connect": report.ok,
        "roots": {name: certificate.fingerprint for name, certificate in report.roots.items()},
        "notes": report.notes,
        "chains": [
            {
                "title": end.title,
                **{name.lower(): value for name, value in end.facts},
                "certificates": [certificate_json(certificate, report.at) for certificate in end.sent],
                "anchor": certificate_json(end.anchor, report.at) if end.anchor else None,
                "anchor_is": end.anchor_text,
                "path": [certificate.fingerprint for certificate in end.drawn[::-1]],
                "links": [{"kind": finding.kind, "text": finding.text} for finding in end.links.findings],
                "verdict": verdict_json(end.verdict),
            }
            for end in report.ends
        ],
    }


def verdict_json(verdict: ChainVerdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    rules = [{"rule": rule.name, "ok": rule.ok, "text": rule.text, "fault": rule.word or None} for rule in verdict.rules]
    return {"ok": verdict.ok, "rules": rules}


def certificate_json(certificate: Certificate, at: dt.datetime) -> dict[str, Any]:
    """All fields, by name."""
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "signature": certificate.signature,
        "key": certificate.key,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "days_left": certificate.days_left(at),
        "key_usage": certificate.key_usage,
        "extended_key_usage": certificate.extended_key_usage,
        "basic_constraints": certificate.basic_constraints,
        "name_constraints": certificate.name_constraints,
        "subject_alternative_names": certificate.names,
        "ski": certificate.ski,
        "aki": certificate.aki,
        "ocsp": certificate.ocsp,
        "ca_issuers": certificate.ca_issuers,
        "sha256": certificate.fingerprint,
    }


def fields(certificate: Certificate, at: dt.datetime) -> list[tuple[str, str]]:
    """The fields to show, without absent ones."""
    days = certificate.days_left(at)
    left = f"{number_of(days, 'day')} left" if days >= 0 else f"{number_of(-days, 'day')} ago"
    rows = [
        ("subject", certificate.subject),
        ("issuer", certificate.issuer),
        ("serial", certificate.serial),
        ("key", certificate.key),
        ("signature", certificate.signature),
        ("valid", f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d %H:%M}Z, {left}"),
        ("basic constraints", certificate.basic_constraints),
        ("name constraints", certificate.name_constraints),
        ("key usage", ", ".join(certificate.key_usage)),
        ("extended key usage", ", ".join(certificate.extended_key_usage)),
        ("alternative names", _shortened(certificate.names)),
        ("SKI", certificate.ski),
        ("AKI", certificate.aki),
        ("OCSP", ", ".join(certificate.ocsp)),
        ("CA issuers", ", ".join(certificate.ca_issuers)),
        ("SHA-256", certificate.fingerprint),
    ]
    return [(name, value) for name, value in rows if value]


def _shortened(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
