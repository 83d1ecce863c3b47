"""A root CA in AWS Private CA, made as AWS documents it: create, sign its own request, import."""

import time
from typing import Any

import boto3

CONFIGURATION = {
    "KeyAlgorithm": "EC_prime256v1",
    "SigningAlgorithm": "SHA256WITHECDSA",
    "Subject": {"CommonName": "Private Root", "Organization": "Example Fleet"},
}


def private_ca(*, days: int = 3650, active: bool = True, algorithm: str = "EC_prime256v1") -> str:
    """Its ARN."""
    client: Any = boto3.client("acm-pca")
    configuration = CONFIGURATION | {"KeyAlgorithm": algorithm}
    arn = client.create_certificate_authority(
        CertificateAuthorityConfiguration=configuration, CertificateAuthorityType="ROOT"
    )["CertificateAuthorityArn"]
    if active:
        request = client.get_certificate_authority_csr(CertificateAuthorityArn=arn)["Csr"]
        made = client.issue_certificate(
            CertificateAuthorityArn=arn,
            Csr=request.encode(),
            SigningAlgorithm="SHA256WITHECDSA" if algorithm.startswith("EC") else "SHA256WITHRSA",
            TemplateArn="arn:aws:acm-pca:::template/RootCACertificate/V1",
            Validity={"Type": "ABSOLUTE", "Value": int(time.time()) + days * 86_400},
        )["CertificateArn"]
        root = client.get_certificate(CertificateAuthorityArn=arn, CertificateArn=made)["Certificate"]
        client.import_certificate_authority_certificate(CertificateAuthorityArn=arn, Certificate=root.encode())
    return str(arn)
