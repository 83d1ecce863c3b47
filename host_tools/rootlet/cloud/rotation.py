"""Replaces a device's certificate: the new one is active and proved before the old one is deactivated.

``begin`` issues the new identity beside the old one, registers it with the same policies, and proves it by a TLS handshake
with the account's endpoint. Then the user writes the new identity to the board. ``finish`` needs proof that the board
has it; it moves it to the old one's directory and deactivates the old certificate. Both can be interrupted anywhere
and run again. Until ``finish`` has its proof, the old certificate stays ACTIVE.
"""

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rootlet.cloud import lifecycle, registration
from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput, RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import CERTIFICATE, KEY, DeviceIdentity
from rootlet.trust import stores
from rootlet.trust.fetch import Offer, fetch
from rootlet.trust.judge import judge

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

NEXT, PREVIOUS = "next", "previous"

Prove = Callable[[DeviceIdentity], None]


@dataclass
class Rotation:
    """The state of a rotation."""

    thing: str
    old: str
    new: str
    changes: list[str] = field(default_factory=list)


def begin(iot: "IoTClient", directory: Path, authority: Authority, prove: Prove, *, days: int = 3650) -> Rotation:
    """Issue, register and prove the next identity in ``directory/next``. Raises RootletError; a second call resumes."""
    _resume_swap(directory)
    old = DeviceIdentity.load(directory)
    place = directory / NEXT
    changes = []
    if not place.exists():
        authority.issue(old.thing, days=days).save(place)
        changes.append(f"issued a new identity in {place}")
    new = DeviceIdentity.load(place)
    if new.thing != old.thing:
        raise BadInput(f"{place} is for {new.thing}, not for {old.thing}", hint=f"remove {place} and run the command again")
    done = Rotation(old.thing, old.certificate_id, new.certificate_id, changes)
    with aws_errors():
        arn = lifecycle.describe(iot, old.certificate_id)["certificateArn"]
        policies = [entry["policyName"] for entry in iot.list_attached_policies(target=arn)["policies"]]
        if not policies:
            raise RootletError(
                f"certificate {old.certificate_id} has no policy to copy",
                hint="register the device first: rootlet cloud register",
            )
        for policy in policies:
            registered = registration.register(iot, new, registration.RegistrationRequest(policy=policy))
            done.changes += registered.changes
    prove(new)
    return done


@dataclass(frozen=True)
class Proof:
    """Where the new certificate is shown: at ``address`` (None: the one in DNS) and ``port`` of the account's endpoint.

    ``root`` is trusted beside Amazon's: a sandbox's.
    """

    address: str | None = None
    port: int = 8883
    root: Path | None = None


def prove(iot: "IoTClient", new: DeviceIdentity, place: Path, proof: Proof) -> None:
    """Have the account's endpoint accept the certificate in ``place``, the directory of ``new``. Raises RootletError.

    The proof is a TLS 1.2 handshake that the server finishes: it has seen the certificate registered and ACTIVE. Only the
    account's own endpoint counts, so it is judged as a device would judge it, first.
    """
    host = registration.endpoint(iot)
    offer = Offer(certificate=place / CERTIFICATE, key=place / KEY)
    served = fetch(host, proof.port, offer, connect_to=proof.address)
    roots = [*stores.pinned().values(), *(stores.from_file(proof.root) if proof.root else [])]
    verdict = judge(served.chain, roots, host, dt.datetime.now(dt.UTC), served.message_size)
    if not verdict.ok:
        raise RootletError(
            f"the server that answers as {host} is not trusted: {verdict.broken[0].text}",
            hint="see: rootlet chain; for a sandbox give its root with --root; the old certificate is untouched",
        )
    if served.failure:
        raise RootletError(
            f"{host} does not accept the new certificate of {new.thing}: {served.failure}",
            hint="run this again; the old certificate is untouched",
        )


def finish(iot: "IoTClient", directory: Path, carried: str | None, *, delete: bool = False) -> Rotation:
    """Move the next identity to the old one's directory and deactivate the old certificate.

    ``carried`` is the ID of the certificate on the board. Raises RootletError where it is not the new one's.
    """
    _resume_swap(directory)
    place = directory / NEXT
    if place.exists():
        old, new = DeviceIdentity.load(directory), DeviceIdentity.load(place)
        if carried != new.certificate_id:
            raise RootletError(
                f"the board has certificate {carried}, not the new {new.certificate_id}",
                hint=f"write the new identity first: rootlet flash --identity-only --device {place}",
            )
        _swap(directory)
    elif (directory / PREVIOUS).exists():
        old, new = DeviceIdentity.load(directory / PREVIOUS), DeviceIdentity.load(directory)
    else:
        raise BadInput(f"no rotation of {directory} has begun", hint="begin one: rootlet cloud rotate DEVICE --ca CA")
    done = Rotation(new.thing, old.certificate_id, new.certificate_id)
    if delete:
        done.changes += lifecycle.delete(iot, old.certificate_id).changes
    else:
        done.changes += lifecycle.set_status(iot, old.certificate_id, "INACTIVE").changes
    return done


def _swap(directory: Path) -> None:
    # Renames only: no key is copied, and both identities are always complete under some name.
    aside = directory.with_name(directory.name + ".rotating")
    directory.rename(aside)
    _resume_swap(directory)


def _resume_swap(directory: Path) -> None:
    aside = directory.with_name(directory.name + ".rotating")
    if not aside.exists():
        return
    if not directory.exists():
        (aside / NEXT).rename(directory)
    previous = directory / PREVIOUS
    shutil.rmtree(aside / PREVIOUS, ignore_errors=True)  # left by the previous rotation
    if not previous.exists():
        aside.rename(previous)
