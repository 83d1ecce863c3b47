"""Which roots a device must embed for an endpoint: where its chains end, and what the same owner may change to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rootlet.errors import RootletError
from rootlet.trust.fetch import KeyType, Offer, fetch, parse_target
from rootlet.trust.links import link
from rootlet.trust.model import Certificate

ALGORITHMS: tuple[KeyType, ...] = ("ecdsa", "rsa")


@dataclass
class NeededRoots:
    """``needed`` is the root's name by the chain's algorithm, empty for a root that is not known; ``later`` are names."""

    needed: dict[str, str] = field(default_factory=dict)
    later: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def known(self) -> bool:
        return all(self.needed.values())


def needed_roots(
    target: str, known: Mapping[str, Certificate], *, timeout: float = 10, address: str | None = None
) -> NeededRoots:
    """Ask ``target`` (HOST[:PORT]) for a chain of each algorithm, and follow each to one of the ``known`` roots.

    Raises RootletError where it serves none.
    """
    name, port = parse_target(target)
    found = NeededRoots()
    for kind in ALGORITHMS:
        try:
            served = fetch(name, port, Offer((kind,)), timeout=timeout, connect_to=address)
        except RootletError as error:
            found.problems.append(f"no {kind.upper()} chain: {error.what}")
            continue
        ends = [path.anchor for path in link(served.chain, list(known.values())).paths if path.anchor]
        found.needed[kind] = next((label for label, root in known.items() if root in ends), "")
        if not found.needed[kind]:
            end = served.chain[-1].issuer if served.chain else "something that is not a certificate"
            found.problems.append(f"the {kind.upper()} chain ends at {end}, which is not a root known here")
    if not found.needed:
        raise RootletError(f"{target} served no chain to look at", hint="; ".join(found.problems))
    owners = {_organization(known[label]) for label in found.needed.values() if label}
    used = found.needed.values()
    found.later = [label for label, root in known.items() if label not in used and _organization(root) in owners]
    return found


def _organization(root: Certificate) -> str:
    return next((part for part in root.subject.split(",") if part.startswith("O=")), root.subject)
