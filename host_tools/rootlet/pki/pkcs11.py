"""CA keys in a PKCS#11 token (an HSM, a smart card, SoftHSM): the token creates and uses them, and never exports them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from rootlet.errors import BadInput, RootletError
from rootlet.extras import require
from rootlet.pki.certificates import Hash, PublicKey, supported_public_key
from rootlet.pki.external_key import TOKEN, ExternalKey, Sign, digest, key_with_signer
from rootlet.pki.keys import KeyType

_CURVES = {"ec-p256": "secp256r1", "ec-p384": "secp384r1"}


def create_key(module: Path, token: str, label: str, pin: bytes, key_type: KeyType) -> ExternalKey:
    """A new key pair in the token, sensitive and not extractable. Raises BadInput where the label is in use."""
    p11 = _binding()
    session = _open(module, token, pin, write=True)
    try:
        with _refusals(token):
            if _find(session, p11.ObjectClass.PRIVATE_KEY, label):
                raise BadInput(
                    f"token {token!r} already has a key {label!r}", hint="choose another --key-label, or add --use-key"
                )
            private = {p11.Attribute.SENSITIVE: True, p11.Attribute.EXTRACTABLE: False}
            shape: dict[str, Any] = {"label": label, "store": True, "private_template": private}
            if key_type in _CURVES:
                curve = {p11.Attribute.EC_PARAMS: p11.util.ec.encode_named_curve_parameters(_CURVES[key_type])}
                parameters = session.create_domain_parameters(p11.KeyType.EC, curve, local=True)
                pair = parameters.generate_keypair(**shape)
            else:
                pair = session.generate_keypair(p11.KeyType.RSA, int(key_type.removeprefix("rsa-")), **shape)
            public_key = _public_key(pair[0])
    except BaseException:
        session.close()
        raise

    def discard() -> None:
        for half in pair:
            with suppress(p11.PKCS11Error):
                half.destroy()

    sign = _signer(pair[1], public_key, token)
    return ExternalKey(key_with_signer(public_key, sign), _record(module, token, label), session.close, discard)


def use_key(module: Path, token: str, label: str, pin: bytes) -> ExternalKey:
    """An existing key pair of the token. Raises BadInput where it does not exist, or its kind is unsupported."""
    p11 = _binding()
    session = _open(module, token, pin)
    try:
        with _refusals(token):
            public_key = _public_key(_one(session, p11.ObjectClass.PUBLIC_KEY, label, token))
            private = _one(session, p11.ObjectClass.PRIVATE_KEY, label, token)
    except BaseException:
        session.close()
        raise
    sign = _signer(private, public_key, token)
    return ExternalKey(key_with_signer(public_key, sign), _record(module, token, label), session.close)


def open_key(record: dict[str, str], public_key: PublicKey, pin: bytes) -> ExternalKey:
    """The key that ``record`` (from a CA's ca.json) names. ``public_key`` is that of the CA's certificate."""
    p11 = _binding()
    try:
        module, token, label = Path(record["module"]), record["token"], record["label"]
    except KeyError as error:
        raise BadInput(f"the CA's ca.json lacks {error}", hint="restore it from a backup") from None
    session = _open(module, token, pin)
    try:
        with _refusals(token):
            private = _one(session, p11.ObjectClass.PRIVATE_KEY, label, token)
    except BaseException:
        session.close()
        raise
    return ExternalKey(key_with_signer(public_key, _signer(private, public_key, token)), record, session.close)


def _record(module: Path, token: str, label: str) -> dict[str, str]:
    return {"holder": TOKEN, "module": str(module.absolute()), "token": token, "label": label}


def _binding() -> Any:
    require("hsm", "a key in a PKCS#11 token")
    import pkcs11
    import pkcs11.util.ec
    import pkcs11.util.rsa

    return pkcs11


_LOST = ("GeneralError", "DeviceError", "DeviceRemoved", "TokenNotPresent", "SessionHandleInvalid", "CryptokiNotInitialized")
"""The errors of a module for a token that was unplugged and plugged in again, until the module is initialised again."""


def _open(module: Path, token: str, pin: bytes, *, write: bool = False, afresh: bool = False) -> Any:
    p11 = _binding()
    if not module.is_file():
        raise BadInput(
            f"PKCS#11 module not found: {module}",
            hint="give --pkcs11-module the token's library, as in /usr/lib/softhsm/libsofthsm2.so",
        )
    try:
        library = p11.lib(str(module.resolve()))
        if afresh:
            library.reinitialize()
        # A token plugged in after the library was loaded appears only after this call (PKCS#11 v2.40 §5.5).
        library.get_slots()
        found = library.get_token(token_label=token)
        try:
            return found.open(rw=write, user_pin=pin.decode())
        except p11.UserAlreadyLoggedIn:
            # A login is valid for the whole process (PKCS#11 v2.40 §5.6): parent and child CA may be in one token.
            return found.open(rw=write)
    except p11.NoSuchToken:
        raise BadInput(f"{module} has no token {token!r}", hint="list the tokens: pkcs11-tool --list-slots") from None
    except p11.MultipleTokensReturned:
        raise BadInput(f"several tokens are labelled {token!r}", hint="give each its own label, or unplug one") from None
    except UnicodeDecodeError:
        raise BadInput("the PIN is not UTF-8", hint="check the file or the variable that holds the PIN") from None
    except p11.PKCS11Error as error:
        if not afresh and type(error).__name__ in _LOST:
            return _open(module, token, pin, write=write, afresh=True)
        raise _refusal(token, error) from None


@contextmanager
def _refusals(token: str) -> Iterator[None]:
    try:
        yield
    except _binding().PKCS11Error as error:
        raise _refusal(token, error) from None


def _refusal(token: str, error: Exception) -> RootletError:
    """The error to report. The library's message is left out: only the error's kind is known to contain no secret."""
    kind = type(error).__name__
    known = {
        "PinIncorrect": ("the PIN is wrong", "check the PIN; a token locks after a few wrong ones"),
        "PinLenRange": ("the PIN is wrong", "check the PIN; a token locks after a few wrong ones"),
        "PinInvalid": ("the PIN is wrong", "check the PIN; a token locks after a few wrong ones"),
        "PinLocked": ("the PIN is locked", "unlock it with the security officer's PIN"),
        "UserPinNotInitialized": ("no PIN is set", "initialise the token"),
        "TokenWriteProtected": ("the token is write-protected", "create the key with the vendor's tool, then add --use-key"),
    }
    what, hint = known.get(kind, (f"the token refused ({kind})", "see the token's own log"))
    return RootletError(f"token {token!r}: {what}", hint=hint)


def _find(session: Any, kind: Any, label: str) -> list[Any]:
    p11 = _binding()
    return list(session.get_objects({p11.Attribute.CLASS: kind, p11.Attribute.LABEL: label}))


def _one(session: Any, kind: Any, label: str, token: str) -> Any:
    found = _find(session, kind, label)
    if len(found) != 1:
        count = f"{len(found)} keys" if found else "no key"
        half = kind.name.lower().replace("_", " ")
        raise BadInput(
            f"token {token!r} has {count} labelled {label!r} ({half})", hint="list the keys: pkcs11-tool --list-objects"
        )
    return found[0]


def _public_key(key: Any) -> PublicKey:
    p11 = _binding()
    if key.key_type == p11.KeyType.EC:
        der = p11.util.ec.encode_ec_public_key(key)
    elif key.key_type == p11.KeyType.RSA:
        der = p11.util.rsa.encode_rsa_public_key(key)
    else:
        raise BadInput(f"the token's key is of the unsupported kind {key.key_type.name}", hint="use an EC or RSA key")
    return supported_public_key(load_der_public_key(der))


def _signer(key: Any, public_key: PublicKey, token: str) -> Sign:
    p11 = _binding()

    def sign_ecdsa(message: bytes, algorithm: Hash) -> bytes:
        # Raw ECDSA over a hash: every token supports it, while many lack CKM_ECDSA_SHA256.
        with _refusals(token):
            raw: bytes = key.sign(digest(message, algorithm), mechanism=p11.Mechanism.ECDSA)
        signature: bytes = p11.util.ec.encode_ecdsa_signature(raw)
        return signature

    def sign_rsa(message: bytes, algorithm: Hash) -> bytes:
        mechanism = {"sha256": p11.Mechanism.SHA256_RSA_PKCS, "sha384": p11.Mechanism.SHA384_RSA_PKCS}[algorithm.name]
        with _refusals(token):
            signature: bytes = key.sign(message, mechanism=mechanism)
        return signature

    return sign_ecdsa if isinstance(public_key, ec.EllipticCurvePublicKey) else sign_rsa
