"""Replaces a device's certificate: the new one is active and proved before the old one is deactivated.

``begin`` issues the new identity beside the old one, with the same profile, registers it with the same policies, and has it
proved (``proving``). Then the user writes the new identity to the board. ``finish`` needs that proof, and sight of the
identity on the board; it moves it to the old one's directory and deactivates the old certificate. Both can be interrupted
anywhere and run again. Until ``finish`` has both, the old certificate stays ACTIVE.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rootlet.cloud import lifecycle, proving, registration
from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput, RootletError
from rootlet.pki import keys
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.keys import KeyType
from rootlet.pki.subject import Subject, show_name

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

NEXT, PREVIOUS = "next", "previous"

Prove = Callable[[DeviceIdentity], proving.How]


@dataclass(frozen=True)
class Profile:
    """What the new certificate has of its own. None: the same as the old one."""

    subject: Subject | None = None
    key_type: KeyType | None = None
    days: int | None = None


SAME = Profile()


@dataclass
class Rotation:
    """The state of a rotation."""

    thing: str
    old: str
    new: str
    proved_by: proving.How | None = None
    changes: list[str] = field(default_factory=list)


def begin(iot: "IoTClient", directory: Path, authority: Authority, prove: Prove, profile: Profile = SAME) -> Rotation:
    """Issue, register and prove the next identity in ``directory/next``. Raises RootletError; a second call resumes."""
    _resume_swap(directory)
    old = DeviceIdentity.load(directory)
    place = directory / NEXT
    policies = _policies(iot, old)
    changes = []
    if not place.exists():
        authority.reissue(old, subject=profile.subject, key_type=profile.key_type, days=profile.days).save(place)
        changes.append(f"issued a new identity in {place}")
    new = DeviceIdentity.load(place)
    if new.thing != old.thing:
        raise BadInput(f"{place} is for {new.thing}, not for {old.thing}", hint=f"remove {place} and run the command again")
    _check_profile(place, old, new, profile)
    done = Rotation(old.thing, old.certificate_id, new.certificate_id, changes=changes)
    for policy in policies:
        registered = registration.register(iot, new, registration.RegistrationRequest(policy=policy))
        done.changes += registered.changes
    done.proved_by = prove(new)
    proving.record(place, new, done.proved_by)
    return done


def _policies(iot: "IoTClient", old: DeviceIdentity) -> list[str]:
    """The policies that the new certificate gets, too. Raises RootletError where there is none."""
    with aws_errors():
        arn = lifecycle.describe(iot, old.certificate_id)["certificateArn"]
        policies = [entry["policyName"] for entry in iot.list_attached_policies(target=arn)["policies"]]
    if not policies:
        raise RootletError(
            f"certificate {old.certificate_id} has no policy to copy",
            hint="register the device first: rootlet cloud register",
        )
    return policies


def _check_profile(place: Path, old: DeviceIdentity, new: DeviceIdentity, profile: Profile) -> None:
    """Raise BadInput where an earlier run made the next identity otherwise. Its days may be fewer: a CA ends, too."""
    subject = profile.subject.name(old.thing) if profile.subject else old.certificate.subject
    for what, has, wanted in (
        ("subject", show_name(new.certificate.subject), show_name(subject)),
        ("key type", keys.type_of(new.key), profile.key_type or keys.type_of(old.key)),
    ):
        if has != wanted:
            hint = f"give the same options as before, or remove {place} to begin anew"
            raise BadInput(f"the new identity in {place} has the {what} {has}, not {wanted}", hint=hint)


def finish(
    iot: "IoTClient", directory: Path, carried: str | None, *, delete: bool = False, application: str = "leaf"
) -> Rotation:
    """Move the next identity to the old one's directory and deactivate the old certificate.

    ``carried`` is the ID of the certificate on the board. Raises RootletError where it is not the new one's, where the new
    one was not proved, and where the account's policies would refuse it meanwhile.
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
        if not proving.is_recorded(place, new):
            raise RootletError(
                f"nothing proves that the cloud accepts the new certificate {new.certificate_id}",
                hint="run the first half again, which proves it: rootlet cloud rotate DEVICE --ca CA",
            )
        proving.check_accepted(iot, new.certificate, application)
        _swap(directory)
        (directory / proving.RECORD).unlink(missing_ok=True)
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
