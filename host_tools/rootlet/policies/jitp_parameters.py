"""The parameters of a JITP template that AWS fills in from a device's certificate (AWS IoT: just-in-time provisioning)."""

from cryptography import x509

from rootlet.pki.identity import certificate_id
from rootlet.policies.variables import ATTRIBUTES

PREFIX = "AWS::IoT::Certificate::"
ID = f"{PREFIX}Id"
"""The certificate ID, which is the only one that is not a part of the subject."""

_SUBJECT = {
    "Country": "Country",
    "Organization": "Organization",
    "OrganizationalUnit": "OrganizationalUnit",
    "DistinguishedNameQualifier": "DistinguishedNameQualifier",
    "StateName": "State",
    "CommonName": "CommonName",
    "SerialNumber": "SerialNumber",
}
"""The names of parameters without PREFIX, and the policy variable of the same part of the subject."""

NAMES = ("Id", *_SUBJECT)


def of_certificate(certificate: x509.Certificate) -> dict[str, str]:
    """The values of a certificate's parameters, by their full names. What its subject does not have is left out."""
    values = {ID: certificate_id(certificate)}
    for name, variable in _SUBJECT.items():
        for attribute in certificate.subject.get_attributes_for_oid(ATTRIBUTES[variable])[:1]:
            values[PREFIX + name] = str(attribute.value)
    return values
