"""Private keys that a token or a key management service holds: it signs, and the key never leaves it.

`cryptography` builds certificates with any key that implements its abstract classes ("Cloud KMS and HSM Asymmetric
Keys" in its documentation). The two classes here implement them around a function that signs.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding, PKCS1v15

from rootlet.errors import BadInput
from rootlet.pki.certificates import Hash, PrivateKey, PublicKey, digest_for

FILE, TOKEN, KMS, PRIVATE_CA = "file", "pkcs11", "aws-kms", "aws-private-ca"
"""The values of ``holder`` in a CA's ca.json."""

Sign = Callable[[bytes, Hash], bytes]
"""(message, hash) -> signature: DER ECDSA-Sig-Value, or RSASSA-PKCS1-v1_5."""


@dataclass(frozen=True)
class ExternalKey:
    """A key outside this process. A CA's directory keeps ``record``, to find the key again."""

    key: PrivateKey = field(repr=False)
    record: dict[str, str]
    close: Callable[[], None] = field(repr=False, default=lambda: None)
    discard: Callable[[], None] = field(repr=False, default=lambda: None)
    """Remove the key from its holder, where this run created it."""


def key_with_signer(public_key: PublicKey, sign: Sign) -> PrivateKey:
    """A private key object that signs by calling ``sign``."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return _ExternalEllipticCurveKey(public_key, sign)
    return _ExternalRsaKey(public_key, sign)


def is_pair(key: PrivateKey, public_key: PublicKey) -> bool:
    """Whether ``public_key`` verifies a signature of random bytes by ``key``."""
    message = secrets.token_bytes(32)
    algorithm = digest_for(key)
    try:
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(key.sign(message, ec.ECDSA(algorithm)), message, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPrivateKey) and isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(key.sign(message, PKCS1v15(), algorithm), message, PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def check_pair(key: PrivateKey, public_key: PublicKey, where: str) -> None:
    """Raise BadInput unless ``key`` is the private half of ``public_key``."""
    if not is_pair(key, public_key):
        raise BadInput(f"{where} is not the key of the CA's certificate", hint="give the key that the CA was created with")


class _NeverExported:
    """What both kinds share: the key cannot be exported."""

    _sign: Sign

    def private_numbers(self) -> NoReturn:
        raise TypeError("an external key cannot be exported")

    def private_bytes(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("an external key cannot be exported")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class _ExternalEllipticCurveKey(_NeverExported, ec.EllipticCurvePrivateKey):
    def __init__(self, public_key: ec.EllipticCurvePublicKey, sign: Sign) -> None:
        self._public_key = public_key
        self._sign = sign

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def exchange(self, *_: Any) -> NoReturn:
        raise TypeError("an external key supports signing only")

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._sign(bytes(data), _offered(signature_algorithm.algorithm))


class _ExternalRsaKey(_NeverExported, rsa.RSAPrivateKey):
    def __init__(self, public_key: rsa.RSAPublicKey, sign: Sign) -> None:
        self._public_key = public_key
        self._sign = sign

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def decrypt(self, *_: Any) -> NoReturn:
        raise TypeError("an external key supports signing only")

    def sign(self, data: Any, padding: AsymmetricPadding, algorithm: Any) -> bytes:
        if not isinstance(padding, PKCS1v15):
            raise TypeError("an external RSA key supports RSASSA-PKCS1-v1_5 only")
        return self._sign(bytes(data), _offered(algorithm))


def digest(message: bytes, algorithm: Hash) -> bytes:
    """The hash of a message, for holders that sign hashes."""
    running = hashes.Hash(algorithm)
    running.update(message)
    return running.finalize()


def _offered(algorithm: object) -> Hash:
    if not isinstance(algorithm, Hash):
        raise TypeError("an external key supports SHA-256, SHA-384 and SHA-512 only")
    return algorithm
