"""What the identities of a batch share, and the identities themselves, before anything is written."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from rootlet.pki.authority import DEVICE_DAYS
from rootlet.pki.keys import KeyType
from rootlet.pki.subject import Subject


class RegistrationMode(StrEnum):
    """How a batch's certificates come to be trusted by AWS."""

    NOW = "now"  # by the station, before the board leaves it
    DEFERRED = "deferred"  # by `rootlet factory register`, later
    JITP = "jitp"  # by AWS itself, when the device connects for the first time under a registered CA


@dataclass(frozen=True)
class NewIdentity:
    """A line of a batch: the thing's name, its attributes in AWS, and its product's serial number where it has one."""

    thing: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    serial: str | None = None


@dataclass(frozen=True)
class BatchPlan:
    """What a batch's identities share. ``board`` is a board's id; ``ca_sha256`` the fingerprint of the issuing CA.

    ``ca`` is the CA's directory as the batch's opener named it; another station may keep the same CA elsewhere.
    ``application``, ``streams``, ``topics``, ``services``, ``policy`` and ``with_ca`` are as for ``rootlet cloud register``.
    """

    board: str
    customer: str
    ca_sha256: str
    registration: RegistrationMode = RegistrationMode.NOW
    ca: str = ""
    key_type: KeyType = "ec-p256"
    days: int = DEVICE_DAYS
    subject: Mapping[str, str] = field(default_factory=dict)
    application: str = "leaf"
    streams: tuple[str, ...] = ("climate",)
    topics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    policy: str | None = None
    with_ca: bool = False

    def subject_of(self, serial: str | None) -> Subject:
        """The parts of a device's subject besides its common name."""
        shared = Subject(**self.subject)
        return shared if serial is None else replace(shared, serial_number=serial)

    def columns(self) -> dict[str, Any]:
        """As the ledger keeps it: the first four apart, the rest in ``details``."""
        values = asdict(self) | {"registration": str(self.registration), "streams": list(self.streams)}
        values |= {"topics": list(self.topics), "services": list(self.services)}
        apart = {name: values.pop(name) for name in _APART}
        return {**apart, "details": values}

    @classmethod
    def from_columns(cls, row: Mapping[str, Any]) -> "BatchPlan":
        """What ``columns`` made."""
        details = dict(row["details"])
        details["streams"] = tuple(details["streams"])
        for name in ("topics", "services"):  # batches of before had none
            details[name] = tuple(details.get(name, ()))
        return cls(
            **{name: row[name] for name in _APART if name != "registration"},
            registration=RegistrationMode(row["registration"]),
            **details,
        )


_APART = ("board", "customer", "ca_sha256", "registration")
