"""Looking at chains for a report: a server's, as a device would be served, or a file's."""

from dataclasses import dataclass, replace
from pathlib import Path

from rootlet.errors import BadInput, RootletError
from rootlet.trust import staple
from rootlet.trust.fetch import DEVICE_TLS, Offer, Served, fetch, parse_target
from rootlet.trust.judge import judge
from rootlet.trust.report import ChainReport, chain_end, key_types, server_end
from rootlet.trust.stores import from_file


@dataclass(frozen=True)
class Question:
    """How a server is asked. ``algorithm`` is ecdsa, rsa or both, of what a device with the report's roots offers.

    ``version`` and ``ciphers`` show what other clients get; the verdict is a device's, which has its own. ``alternatives``
    are the chains of either algorithm alone.
    """

    algorithm: str = "both"
    version: str = "1.2"
    ciphers: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    address: str | None = None
    timeout: float = 10
    alternatives: bool = True


def server(report: ChainReport, target: str, question: Question) -> None:
    """Add the chain that ``target`` (HOST[:PORT]) shows, and those of either algorithm alone where they differ.

    Where another TLS version or other ciphers are asked for, a device's chain is added where it differs, and judged.

    Raises BadInput where a device with these roots offers no suite of that algorithm, RootletError without an answer.
    """
    offered = key_types(list(report.roots.values()))
    kinds = tuple(kind for kind in offered if question.algorithm in (kind, "both"))
    if not kinds and not question.ciphers:
        raise BadInput(
            f"--algorithm {question.algorithm}: a device with these roots ({', '.join(report.roots)}) offers no such suite",
            hint="choose another --algorithm, or other roots with --root",
        )
    device = Offer(kinds or offered, certificate=question.certificate, key=question.key)
    asked = replace(device, version=question.version, ciphers=question.ciphers)
    if asked == device:
        served = _fetch(target, device, question)
        _judge_server(report, served)
    else:
        served = _fetch(target, asked, question)
        report.ends.append(server_end("server, as asked", served, list(report.roots.values()), report.at))
        _judge_as_device(report, target, device, question, served)
    if question.alternatives and question.algorithm == "both" and not question.ciphers:
        _alternatives(report, served, question)


def _fetch(target: str, offer: Offer, question: Question) -> Served:
    host, port = parse_target(target)
    return fetch(host, port, offer, timeout=question.timeout, connect_to=question.address)


def _judge_as_device(report: ChainReport, target: str, device: Offer, question: Question, asked: Served) -> None:
    try:
        served = _fetch(target, device, question)
    except RootletError as error:
        report.ok = False
        report.notes.append(f"A device would not connect, whose TLS is {DEVICE_TLS}: {error.what}. {error.hint}.")
        return
    _judge_server(report, served)
    if served.chain == asked.chain:
        report.ends.pop()
        report.notes.append(f"A device gets the same chain by {served.version} {served.cipher}; the verdict is about that.")


def file(report: ChainReport, path: Path, name: str | None) -> None:
    """Add the chain in a file; it is judged where it is a server's, or a host ``name`` is given. Raises BadInput."""
    chain = from_file(path)
    roots = list(report.roots.values())
    is_server = not chain[0].is_authority and "clientAuth" not in chain[0].extended_key_usage
    verdict = judge(chain, roots, name, report.at) if is_server or name else None
    report.ends.append(chain_end(f"file {path.name}", chain, roots, verdict))
    report.ok = verdict.ok if verdict else None


def _judge_server(report: ChainReport, served: Served) -> None:
    end = server_end("server, as a device is served", served, list(report.roots.values()), report.at)
    report.ends.append(end)
    assert end.verdict is not None
    # Without a client certificate of ours, ending after the server's is what an endpoint with mutual TLS does.
    unfinished = bool(served.failure) and served.offer.certificate is not None
    report.ok = end.verdict.ok and not unfinished
    stapled = staple.read(served.staple, served.chain, list(report.roots.values()), report.at)
    if stapled and stapled.status == "revoked":
        report.notes.append(
            f"Its issuer says that the server's certificate is revoked ({stapled.text}). A device connects all the same: "
            "it checks no revocation. Replace the certificate."
        )
    if served.failure and end.verdict.ok and not unfinished:
        report.notes.append(
            f"The server ended the handshake without a client certificate ({served.failure}); "
            "give --cert and --key to finish it."
        )


def _alternatives(report: ChainReport, served: Served, question: Question) -> None:
    for kind in ("ecdsa", "rsa"):
        offer = replace(served.offer, key_types=(kind,))
        try:
            other = fetch(served.host, served.port, offer, timeout=question.timeout, connect_to=question.address)
        except RootletError as error:
            report.notes.append(f"No {kind.upper()} chain: {error.what}")
            continue
        if other.chain != served.chain:
            roots = list(report.roots.values())
            report.ends.append(server_end(f"server, {kind.upper()} only", other, roots, report.at))
