"""CA keys in AWS KMS: KMS creates and uses them, and never exports them. boto3 finds credentials and region as usual."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from rootlet.aws_answers import checked
from rootlet.errors import BadInput, RootletError
from rootlet.pki.certificates import Hash, PublicKey, supported_public_key
from rootlet.pki.external_key import KMS, ExternalKey, Sign, digest, key_with_signer
from rootlet.pki.keys import KeyType

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient
    from mypy_boto3_kms.literals import KeySpecType, SigningAlgorithmSpecType

_SPECS: "dict[KeyType, KeySpecType]" = {
    "ec-p256": "ECC_NIST_P256",
    "ec-p384": "ECC_NIST_P384",
    "rsa-2048": "RSA_2048",
    "rsa-3072": "RSA_3072",
    "rsa-4096": "RSA_4096",
}
_SCHEMES: "dict[tuple[bool, str], SigningAlgorithmSpecType]" = {
    (True, "sha256"): "ECDSA_SHA_256",
    (True, "sha384"): "ECDSA_SHA_384",
    (True, "sha512"): "ECDSA_SHA_512",
    (False, "sha256"): "RSASSA_PKCS1_V1_5_SHA_256",
    (False, "sha384"): "RSASSA_PKCS1_V1_5_SHA_384",
}


def create_key(name: str, key_type: KeyType) -> ExternalKey:
    """A new signing key in KMS, with the CA's ``name`` as its description. AWS charges for it until it is deleted."""
    client = _client()
    with _refusals("create a key"):
        made = client.create_key(KeySpec=_SPECS[key_type], KeyUsage="SIGN_VERIFY", Description=f"Rootlet CA {name}")[
            "KeyMetadata"
        ]

    def discard() -> None:
        # KMS deletes a key after 7 days at the earliest.
        with suppress(BotoCoreError, ClientError):
            client.schedule_key_deletion(KeyId=made["Arn"], PendingWindowInDays=7)

    try:
        public_key = _public_key(client, made["Arn"])
    except BaseException:
        discard()
        raise
    return ExternalKey(
        key_with_signer(public_key, _signer(client, made["Arn"], public_key)), _record(client, made["Arn"]), discard=discard
    )


def use_key(key: str) -> ExternalKey:
    """An existing key in KMS, by key id, ARN or alias (``alias/…``)."""
    client = _client()
    with _refusals(f"describe {key}"):
        arn = client.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    public_key = _public_key(client, arn)
    return ExternalKey(key_with_signer(public_key, _signer(client, arn, public_key)), _record(client, arn))


def open_key(record: dict[str, str], public_key: PublicKey) -> ExternalKey:
    """The key that ``record`` (from a CA's ca.json) names. ``public_key`` is that of the CA's certificate."""
    try:
        arn, region = record["key"], record["region"]
    except KeyError as error:
        raise BadInput(f"the CA's ca.json lacks {error}", hint="restore it from a backup") from None
    return ExternalKey(key_with_signer(public_key, _signer(_client(region), arn, public_key)), record)


def _client(region: str | None = None) -> "KMSClient":
    with _refusals("be reached"):
        return checked(boto3.client("kms", region_name=region))


def _record(client: "KMSClient", arn: str) -> dict[str, str]:
    return {"holder": KMS, "key": arn, "region": client.meta.region_name}


def _public_key(client: "KMSClient", key: str) -> PublicKey:
    with _refusals(f"show the public key of {key}"):
        return supported_public_key(load_der_public_key(client.get_public_key(KeyId=key)["PublicKey"]))


def _signer(client: "KMSClient", key: str, public_key: PublicKey) -> Sign:
    is_ec = isinstance(public_key, ec.EllipticCurvePublicKey)

    def sign(message: bytes, algorithm: Hash) -> bytes:
        # The hash instead of the message: KMS accepts messages of at most 4096 bytes.
        scheme = _SCHEMES[is_ec, algorithm.name]
        with _refusals(f"sign with {key}"):
            hashed = digest(message, algorithm)
            return client.sign(KeyId=key, Message=hashed, MessageType="DIGEST", SigningAlgorithm=scheme)["Signature"]

    return sign


@contextmanager
def _refusals(action: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        fault = error.response.get("Error", {})
        raise RootletError(
            f"AWS KMS did not {action}: {fault.get('Code', 'error')}: {fault.get('Message', '')}".rstrip(": "),
            hint="check the key, the region, and that your credentials allow kms:Sign and kms:GetPublicKey",
        ) from None
    except BotoCoreError as error:
        raise RootletError(
            f"AWS KMS could not {action}: {error}", hint="check your AWS credentials, region and network"
        ) from None
