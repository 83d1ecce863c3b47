"""The paths between certificates: each authority key identifier names a subject key identifier, up to a root."""

from collections.abc import Sequence
from dataclasses import dataclass

from rootlet.trust.model import Certificate
from rootlet.words import are, number_of

MAX_DEPTH = 24  # certificates in a path; a longer one is an attack


@dataclass(frozen=True)
class Path:
    """A path up from the server's certificate. ``anchor`` is the trusted root at its end, or None."""

    certificates: tuple[Certificate, ...]
    anchor: Certificate | None

    @property
    def whole(self) -> tuple[Certificate, ...]:
        """The certificates, with the root above them where it was not sent."""
        if self.anchor is None or self.anchor in self.certificates:
            return self.certificates
        return (*self.certificates, self.anchor)


@dataclass(frozen=True)
class LinkFinding:
    """A remark about the links. ``kind``: missing, broken, reordered, superfluous, repeated, cross-signed."""

    kind: str
    text: str


@dataclass(frozen=True)
class Links:
    """All paths up, those that end at a root first, then the longer ones; and ``findings`` about them."""

    paths: tuple[Path, ...]
    findings: tuple[LinkFinding, ...]

    @property
    def best(self) -> Path:
        return self.paths[0]


def link(sent: Sequence[Certificate], roots: Sequence[Certificate]) -> Links:
    """The links between the certificates sent (the server's own first) and the trusted roots."""
    if not sent:
        return Links((Path((), None),), (LinkFinding("missing", "no readable certificate was sent"),))
    distinct = list(dict.fromkeys(sent))
    paths = sorted(_climb([distinct[0]], distinct[1:], roots), key=lambda p: (p.anchor is None, len(p.whole)))
    best = paths[0]
    findings = [*_top(best, distinct, roots), *_order(sent, distinct, best), *_extras(distinct, paths)]
    anchored = [path for path in paths if path.anchor is not None]
    if len(anchored) > 1:
        ends = ", ".join(dict.fromkeys(path.anchor.common_name for path in anchored if path.anchor))
        findings.append(LinkFinding("cross-signed", f"{len(anchored)} paths lead to embedded roots: {ends}"))
    return Links(tuple(paths), tuple(findings))


def _climb(below: list[Certificate], others: Sequence[Certificate], roots: Sequence[Certificate]) -> list[Path]:
    last = below[-1]
    found = []
    for root in roots:
        if last == root:
            return [Path(tuple(below), root)]
        if root.key_bytes == last.key_bytes and root.parsed.subject == last.parsed.subject:
            continue  # the root's cross-signed twin: the certificate below reaches the root directly
        if root.signed(last):
            found.append(Path(tuple(below), root))
    if last.self_issued and last.signed(last):
        return found or [Path(tuple(below), None)]
    if len(below) < MAX_DEPTH:
        for other in others:
            if other not in below and other not in roots and other.signed(last):
                found += _climb([*below, other], others, roots)
    return found or [Path(tuple(below), None)]


def _top(best: Path, sent: Sequence[Certificate], roots: Sequence[Certificate]) -> list[LinkFinding]:
    last = best.certificates[-1]
    if best.anchor is not None:
        return []
    if last.self_issued and last.signed(last):
        what = "is self-signed" if len(best.certificates) == 1 else "is a root that is not embedded"
        return [LinkFinding("missing", f"{last.common_name} {what}")]
    same_name = [other for other in (*sent, *roots) if other != last and other.parsed.subject == last.parsed.issuer]
    if same_name:
        other = same_name[0]
        if last.aki and other.ski and last.aki != other.ski:
            why = f"its AKI is {last.aki}, and the issuer's SKI is {other.ski}"
        else:
            why = "the issuer's key did not make its signature"
        return [LinkFinding("broken", f"{last.common_name} names {other.common_name} as its issuer, but {why}")]
    aki = f" (AKI {last.aki})" if last.aki else ""
    text = f"{last.issuer}{aki}, the issuer of {last.common_name}, was not sent and is not an embedded root"
    return [LinkFinding("missing", text)]


def _order(sent: Sequence[Certificate], distinct: Sequence[Certificate], best: Path) -> list[LinkFinding]:
    findings = []
    if len(sent) > len(distinct):
        again = len(sent) - len(distinct)
        sentence = f"{number_of(again, 'certificate')} {are(again, 'was', 'were')} sent more than once"
        findings.append(LinkFinding("repeated", sentence))
    places = [distinct.index(certificate) for certificate in best.certificates]
    if places != sorted(places):
        names = ", ".join(certificate.common_name for certificate in distinct)
        findings.append(LinkFinding("reordered", f"sent out of order (RFC 5246 section 7.4.2): {names}"))
    return findings


def _extras(distinct: Sequence[Certificate], paths: Sequence[Path]) -> list[LinkFinding]:
    used = {certificate for path in paths for certificate in path.whole}
    findings = []
    for certificate in distinct:
        if certificate not in used:
            findings.append(
                LinkFinding("superfluous", f"{certificate.common_name} is on no path from the server's certificate")
            )
        elif certificate.self_issued and certificate != distinct[0] and certificate.signed(certificate):
            text = f"{certificate.common_name} is a root: a client that trusts it has it already"
            findings.append(LinkFinding("superfluous", text))
    return findings
