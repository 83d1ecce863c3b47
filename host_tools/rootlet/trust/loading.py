"""What Mbed TLS, as MicroPython builds it, cannot parse. Such a root is of no use to a device, whatever else it trusts.

tests/interop/test_loadable_roots.py asks a real Mbed TLS, the Unix port's.
"""

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from rootlet.trust.model import Certificate

_UNDERSTOOD = {
    "basicConstraints",
    "keyUsage",
    "subjectAltName",
    "extendedKeyUsage",
    "certificatePolicies",
    "authorityKeyIdentifier",
    "subjectKeyIdentifier",
    "nsCertType",
}
_ANY_POLICY = "2.5.29.32.0"
_HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")
_CURVES = ("secp192r1", "secp224r1", "secp256r1", "secp384r1", "secp521r1", "secp256k1")


def unsupported_extension(certificate: Certificate) -> str:
    """The critical extension that the device does not support, as a sentence; empty where there is none."""
    for extension in certificate.critical_extensions:
        if extension not in _UNDERSTOOD:
            return f"{certificate.common_name} has a critical {extension}, which the device does not support"
    if "certificatePolicies" in certificate.critical_extensions and set(certificate.policies) - {_ANY_POLICY}:
        return f"{certificate.common_name} has a critical certificate policy, which the device does not support"
    return ""


def unloadable(root: Certificate) -> str:
    """Why a device cannot load this root, as a sentence; empty where it can."""
    if found := unsupported_extension(root):
        return found
    public = root.parsed.public_key()
    curve = public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else None
    if not isinstance(public, rsa.RSAPublicKey) and curve not in _CURVES:
        return f"the key of {root.common_name} is {root.key}, which the device does not support"
    pss = root.parsed.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS
    if pss or root.hash_name not in _HASHES:
        return f"{root.common_name} is signed with {root.signature}, which the device does not support"
    return ""
