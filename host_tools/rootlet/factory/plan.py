"""The plan of a batch: what its identities share, and the identities."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rootlet.pki.authority import DEVICE_DAYS
from rootlet.pki.keys import KeyType
from rootlet.pki.subject import Subject

if TYPE_CHECKING:
    from rootlet.board.efuses import Feature


class RegistrationMode(StrEnum):
    """When a batch's certificates are registered in AWS."""

    NOW = "now"  # by the station, before the board leaves it
    DEFERRED = "deferred"  # by `rootlet factory register`, later
    JITP = "jitp"  # by AWS itself, when the device connects for the first time under a registered CA


@dataclass(frozen=True)
class NewIdentity:
    """A line of a batch: the thing name, the thing's attributes in AWS, and the product's serial number, if any."""

    thing: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    serial: str | None = None


@dataclass(frozen=True)
class BatchPlan:
    """What a batch's identities share. ``board`` is a board's id; ``ca_sha256`` is the fingerprint of the issuing CA.

    ``ca`` is the CA's directory on the station that opened the batch; it may be another one on other stations.
    ``application``, ``streams``, ``topics``, ``services``, ``policy`` and ``with_ca`` are as for ``rootlet cloud register``.
    ``protect`` are the features whose eFuses are burned on each board; ``signing_digest`` is secure boot's, in hex.
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
    protect: tuple["Feature", ...] = ()
    signing_digest: str = ""

    def subject_of(self, serial: str | None) -> Subject:
        """The parts of a device's subject besides its common name."""
        shared = Subject(**self.subject)
        return shared if serial is None else replace(shared, serial_number=serial)

    def columns(self) -> dict[str, Any]:
        """The columns in the ledger: the first four fields each have one, the others are in ``details``."""
        values = asdict(self) | {"registration": str(self.registration), "streams": list(self.streams)}
        values |= {"topics": list(self.topics), "services": list(self.services)}
        values |= {"protect": list(self.protect)}
        apart = {name: values.pop(name) for name in _APART}
        return {**apart, "details": values}

    @property
    def encrypts(self) -> bool:
        """Whether each board gets a flash encrypted with a key of its own."""
        return "flash-encryption" in self.protect

    @classmethod
    def from_columns(cls, row: Mapping[str, Any]) -> "BatchPlan":
        """What ``columns`` made."""
        details = dict(row["details"])
        details["streams"] = tuple(details["streams"])
        for name in ("topics", "services", "protect"):  # older batches have none
            details[name] = tuple(details.get(name, ()))
        return cls(
            **{name: row[name] for name in _APART if name != "registration"},
            registration=RegistrationMode(row["registration"]),
            **details,
        )


_APART = ("board", "customer", "ca_sha256", "registration")
