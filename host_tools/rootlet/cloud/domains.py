"""Domain configurations: the host names that an account's devices may connect to, and whether a device can.

Security policies and their TLS versions are those of AWS IoT Core's page "Transport security".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput
from rootlet.trust.fetch import DEVICE_TLS

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

SECURITY_POLICIES: Mapping[str, Sequence[str]] = {
    "IoTSecurityPolicy_TLS13_1_3_2022_10": ("1.3",),
    "IoTSecurityPolicy_TLS13_1_2_2022_10": ("1.2", "1.3"),
    "IoTSecurityPolicy_TLS12_1_2_2022_10": ("1.2",),
    "IoTSecurityPolicy_TLS12_1_0_2016_01": ("1.2",),
    "IoTSecurityPolicy_TLS12_1_0_2015_01": ("1.2",),
}
DEFAULT_POLICY = "IoTSecurityPolicy_TLS13_1_2_2022_10"

DATA = "DATA"
"""The service that devices publish to."""

_AUTHENTICATION = {"DEFAULT": True, "AWS_X509": True, "CUSTOM_AUTH_X509": None, "AWS_SIGV4": False, "CUSTOM_AUTH": False}
"""Whether a device's certificate is accepted (AWS IoT Core: device communication protocols). None: an authorizer decides."""


@dataclass(frozen=True)
class Domain:
    """One domain configuration. ``kind`` is ENDPOINT (the account's own), AWS_MANAGED or CUSTOMER_MANAGED."""

    name: str
    host: str
    kind: str
    enabled: bool
    service: str
    security_policy: str
    authentication: str
    protocol: str
    certificates: tuple[tuple[str, str], ...]
    """ARN and status of the server's certificates; empty where AWS has its own."""
    ocsp: bool

    @property
    def tls(self) -> Sequence[str] | None:
        """The TLS versions of its security policy; None where Rootlet does not know it."""
        return SECURITY_POLICIES.get(self.security_policy)


@dataclass(frozen=True)
class DomainRule:
    """One rule about a domain; ``ok`` is None where it does not decide. ``hint`` says how to correct a fault."""

    name: str
    ok: bool | None
    text: str
    hint: str = ""


def domains(iot: "IoTClient") -> list[Domain]:
    """The account's domain configurations. Raises RootletError."""
    found = []
    with aws_errors():
        for page in iot.get_paginator("list_domain_configurations").paginate():
            for entry in page["domainConfigurations"]:
                name = entry["domainConfigurationName"]
                found.append(_domain(iot.describe_domain_configuration(domainConfigurationName=name)))
    return found


def find(iot: "IoTClient", name: str) -> Domain:
    """The domain configuration of this name, or of this host name. Raises BadInput where the account has none."""
    known = domains(iot)
    for domain in known:
        if name in (domain.name, domain.host):
            return domain
    raise BadInput(f"the account has no domain {name}", hint=f"it has: {', '.join(domain.name for domain in known)}")


def rules(domain: Domain) -> Iterator[DomainRule]:
    """Whether a device with a certificate could connect, by the domain's settings alone."""
    yield _enabled(domain)
    if domain.service != DATA:
        hint = f"devices connect to a domain of the service {DATA}"
        yield DomainRule("service", False, f"{domain.service}: not where devices publish", hint)
        return
    yield _security(domain)
    yield _authentication(domain)
    for arn, status in domain.certificates:
        hint = "" if status == "VALID" else "renew or import the certificate in ACM; it must be valid, and in this region"
        yield DomainRule("certificate", status == "VALID", f"{arn}: {status}", hint)


def _domain(answer: Any) -> Domain:
    certificates = tuple(
        (entry["serverCertificateArn"], entry.get("serverCertificateStatus", ""))
        for entry in answer.get("serverCertificates", [])
    )
    return Domain(
        answer["domainConfigurationName"],
        answer.get("domainName", ""),
        answer.get("domainType", ""),
        answer.get("domainConfigurationStatus") == "ENABLED",
        answer.get("serviceType", ""),
        (answer.get("tlsConfig") or {}).get("securityPolicy", ""),
        answer.get("authenticationType", "DEFAULT"),
        answer.get("applicationProtocol", "DEFAULT"),
        certificates,
        bool((answer.get("serverCertificateConfig") or {}).get("enableOCSPCheck")),
    )


def _enabled(domain: Domain) -> DomainRule:
    hint = (
        "" if domain.enabled else f"aws iot update-domain-configuration --domain-configuration-name {domain.name} "
        "--domain-configuration-status ENABLED"
    )  # fmt: skip
    return DomainRule("status", domain.enabled, "ENABLED" if domain.enabled else "DISABLED: it accepts no connection", hint)


def _security(domain: Domain) -> DomainRule:
    if domain.tls is None:
        text = f"{domain.security_policy or 'no security policy'}: not known to Rootlet; the handshake shows what it has"
        return DomainRule("tls", None, text)
    text = f"{domain.security_policy}: TLS {', '.join(domain.tls)}"
    if DEVICE_TLS in domain.tls:
        return DomainRule("tls", True, text)
    hint = (
        f"aws iot update-domain-configuration --domain-configuration-name {domain.name} "
        f"--tls-config securityPolicy={DEFAULT_POLICY}"
    )
    return DomainRule("tls", False, f"{text}, and devices speak TLS {DEVICE_TLS} only", hint)


def _authentication(domain: Domain) -> DomainRule:
    text = f"{domain.authentication}, {domain.protocol}"
    accepted = _AUTHENTICATION.get(domain.authentication)
    if domain.protocol not in ("DEFAULT", "SECURE_MQTT"):
        return DomainRule("protocol", False, f"{text}: no MQTT by TLS", "create a domain with SECURE_MQTT, or the default")
    if accepted is False:
        hint = "create a domain with AWS_X509, or the default"
        return DomainRule("protocol", False, f"{text}: a device's certificate is not accepted", hint)
    return DomainRule("protocol", accepted, text if accepted else f"{text}: its authorizer decides about each device")
