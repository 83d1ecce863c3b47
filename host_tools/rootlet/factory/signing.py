"""The signing desk: one process of a station holds the CA's key, and the workers request certificates from it.

A worker makes the device's key and sends only the public key. So the device's key and the CA's key are in different
processes, and a token's session is opened once.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from rootlet.errors import BadInput, RootletError
from rootlet.factory.plan import BatchPlan
from rootlet.pki.authority import Authority, read_certificates
from rootlet.pki.certificates import PublicKey
from rootlet.pki.identity import common_name

Clock = Callable[[], dt.datetime]

TOLERANCE = dt.timedelta(minutes=5)
"""The most that a clock may be behind the ledger's last entry: the stations of a line are not synchronized exactly."""


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class CaView:
    """A CA without its key: fingerprint (SHA-256, hex), and the customer that its subject names."""

    sha256: str
    customer: str


def check_ca(directory: Path, clock: Clock = utc_now) -> CaView:
    """A CA's fingerprint and customer. Raises BadInput where there is no CA, or it cannot issue today."""
    certificate, _ = read_certificates(directory)
    check_validity(certificate, clock())
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    customer = str(organizations[0].value) if organizations else common_name(certificate)
    return CaView(certificate.fingerprint(hashes.SHA256()).hex(), customer)


def check_validity(certificate: x509.Certificate, now: dt.datetime) -> None:
    """Raise BadInput where ``certificate``, a CA's, is not valid at ``now``."""
    name = common_name(certificate)
    if now >= certificate.not_valid_after_utc:
        raise BadInput(
            f"the CA {name} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            hint="open a batch with a new CA, or check this computer's clock",
        )
    if now < certificate.not_valid_before_utc:
        raise BadInput(
            f"the CA {name} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, "
            f"and this computer's clock shows {now:%Y-%m-%d %H:%M}",
            hint="set this computer's clock",
        )


def check_clock(now: dt.datetime, last_entry: str | None) -> None:
    """Raise BadInput where this computer's clock is behind the ledger's last entry."""
    if last_entry is not None and now < dt.datetime.fromisoformat(last_entry) - TOLERANCE:
        raise BadInput(
            f"this computer's clock shows {now:%Y-%m-%d %H:%M} UTC, but the ledger's last entry is from {last_entry[:16]}",
            hint="set this computer's clock: certificates would begin at the wrong time",
        )


class SigningDesk:
    """Signs the certificates of a batch's plan. ``opener`` opens the CA, and again after a token was unplugged."""

    def __init__(self, opener: Callable[[], Authority], plan: BatchPlan, *, clock: Clock = utc_now) -> None:
        self._opener = opener
        self._plan = plan
        self._clock = clock
        self._authority: Authority | None = self._open()

    @property
    def issuers(self) -> tuple[x509.Certificate, ...]:
        """The CA, then those above it."""
        return self._opened().chain

    def certify(self, thing: str, serial: str | None, public_key: PublicKey) -> x509.Certificate:
        """A certificate for ``thing``. Raises RootletError while the CA cannot sign."""
        check_validity(self._opened().certificate, self._clock())
        subject = self._plan.subject_of(serial)
        try:
            return self._opened().certify(thing, public_key, subject=subject, days=self._plan.days)
        except BadInput:
            raise
        except RootletError:
            # A token that was unplugged needs a new session.
            self.close()
            return self._opened().certify(thing, public_key, subject=subject, days=self._plan.days)

    def close(self) -> None:
        if self._authority is not None:
            self._authority.close()
            self._authority = None

    def _opened(self) -> Authority:
        if self._authority is None:
            self._authority = self._open()
        return self._authority

    def _open(self) -> Authority:
        authority = self._opener()
        if authority.private_ca is not None:  # a port's worker sends a public key, and no request
            raise BadInput(
                f"{authority.directory} is in AWS Private CA, which a line cannot use: AWS takes certificate requests only",
                hint="use a CA whose key is in a file, a token or KMS",
            )
        found = authority.certificate.fingerprint(hashes.SHA256()).hex()
        if found != self._plan.ca_sha256:
            authority.close()
            raise BadInput(
                f"the CA {common_name(authority.certificate)} is not the one this batch was opened with",
                hint=f"give the batch's CA, which was in {self._plan.ca}: --ca",
            )
        try:
            check_validity(authority.certificate, self._clock())
        except BadInput:
            authority.close()
            raise
        return authority
