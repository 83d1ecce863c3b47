"""Private keys: generation, and storage in files that only their owner can read."""

import secrets
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki.certificates import PrivateKey, key_name, supported_public_key

KeyType = Literal["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"]
KEY_TYPES: tuple[KeyType, ...] = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096")

KINDS = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)

MINIMUM_PASSPHRASE = 8  # characters

ROUNDS = 600_000
"""PBKDF2-HMAC-SHA256 iterations, by OWASP's password storage guide; every PKCS#8 reader accepts them."""


def generate(key_type: KeyType = "ec-p256") -> PrivateKey:
    """A new private key."""
    if key_type == "ec-p256":
        return ec.generate_private_key(ec.SECP256R1())
    if key_type == "ec-p384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, int(key_type.removeprefix("rsa-")))


def type_of(key: PrivateKey) -> KeyType:
    """The type that ``generate`` makes such a key by. Raises BadInput where it makes none."""
    for known in KEY_TYPES:
        family, _, size = known.rpartition("-")
        kind = ec.EllipticCurvePrivateKey if family == "ec" else rsa.RSAPrivateKey
        if isinstance(key, kind) and key.key_size == int(size.removeprefix("p")):
            return known
    raise BadInput(f"a key like the old one ({key_name(key.public_key())}) is not issued", hint="choose one with --key-type")


def pem(key: PrivateKey) -> bytes:
    """Unencrypted PKCS#8 PEM, for a device's key before it is on the device."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def der(key: PrivateKey) -> bytes:
    """Unencrypted PKCS#8 DER, the format of the credential partition."""
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def encrypted_pem(key: PrivateKey, passphrase: bytes) -> bytes:
    """PKCS#8 PEM, encrypted with AES-256-CBC under PBKDF2-HMAC-SHA256 (RFC 5958, RFC 8018).

    `cryptography` itself writes 2,048 iterations and has no parameter for more: too few for a file that is stolen.
    Raises BadInput for a short passphrase.
    """
    # Imported here: to issue from a CA needs none of it, and it is slow to load.
    from asn1crypto import algos, core
    from asn1crypto import keys as asn1_keys
    from asn1crypto import pem as armour

    check_passphrase(passphrase)
    salt, vector = secrets.token_bytes(16), secrets.token_bytes(16)
    secret = PBKDF2HMAC(hashes.SHA256(), 32, salt, ROUNDS).derive(passphrase)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(secret), modes.CBC(vector)).encryptor()
    sealed = encryptor.update(padder.update(der(key)) + padder.finalize()) + encryptor.finalize()
    container = asn1_keys.EncryptedPrivateKeyInfo(
        {
            "encryption_algorithm": {
                "algorithm": "pbes2",
                "parameters": {
                    "key_derivation_func": {
                        "algorithm": "pbkdf2",
                        "parameters": {
                            "salt": algos.Pbkdf2Salt("specified", salt),
                            "iteration_count": ROUNDS,
                            "prf": {"algorithm": "sha256"},
                        },
                    },
                    "encryption_scheme": {"algorithm": "aes256_cbc", "parameters": core.OctetString(vector)},
                },
            },
            "encrypted_data": sealed,
        }
    )
    return bytes(armour.armor("ENCRYPTED PRIVATE KEY", container.dump()))


def check_passphrase(passphrase: bytes) -> None:
    """Raise BadInput where ``passphrase`` is too short."""
    if len(passphrase) < MINIMUM_PASSPHRASE:
        raise BadInput("the passphrase is too short", hint=f"use {MINIMUM_PASSPHRASE} characters or more")


def load(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """The PEM private key in a file. Raises BadInput for a wrong passphrase or an unsupported kind of key."""
    data = read_input(path, "private key")
    try:
        key = serialization.load_pem_private_key(data, passphrase)
    except TypeError:
        if passphrase is None:
            raise BadInput(f"{path} is encrypted", hint="give the passphrase of the key") from None
        raise BadInput(
            f"{path} is not encrypted, though a passphrase was given", hint="encrypt the key: openssl pkcs8 -topk8"
        ) from None
    except ValueError:
        # The library's message could quote the file's content.
        reason = "the passphrase is wrong, or the file is damaged" if passphrase else "not a PEM private key"
        raise BadInput(f"cannot read {path}: {reason}", hint="check the passphrase and the path") from None
    supported_public_key(key.public_key())
    assert isinstance(key, KINDS)
    return key
