"""Just-in-time registration: whose certificates it decides about."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cloud import jitr
from rootlet.pki import keys
from rootlet.pki.subject import Subject


def test_a_certificate_that_fleet_provisioning_made_is_not_the_workers_to_refuse(aws: IoTClient) -> None:
    key = keys.generate()
    builder = x509.CertificateSigningRequestBuilder().subject_name(Subject().name("claimed-2"))
    csr = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    certificate_id = aws.create_certificate_from_csr(certificateSigningRequest=csr)["certificateId"]
    aws.update_certificate(certificateId=certificate_id, newStatus="PENDING_ACTIVATION")
    decided = list(jitr.sweep(aws, {"allow": ["nobody"], "issuers": None}, []))
    assert certificate_id not in {done["certificate"] for done in decided}
    found = aws.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    assert found["status"] == "PENDING_ACTIVATION"
    aws.delete_certificate(certificateId=certificate_id)
