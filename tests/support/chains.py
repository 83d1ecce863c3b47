"""Server chains shaped like Amazon's, right or wrong as a test wants them."""

import dataclasses
import datetime as dt
from dataclasses import dataclass

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import Issuer, PrivateKey

from .certificates import certificate

HOST = "a1b2c3d4e5f6g7-ats.iot.eu-west-1.localhost"
WILDCARD = "*.iot.eu-west-1.localhost"
NOW = dt.datetime.now(dt.UTC)


def named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass
class Chain:
    """A root, an intermediate and a server certificate, as Amazon's are shaped."""

    root: x509.Certificate
    intermediate: x509.Certificate
    server: x509.Certificate
    key: PrivateKey
    intermediate_key: PrivateKey

    @property
    def sent(self) -> list[x509.Certificate]:
        return [self.server, self.intermediate]


def make_chain(name: str = WILDCARD, days: int = 30, now: dt.datetime = NOW, root: str = "Real Root") -> Chain:
    root_key, intermediate_key, key = keys.generate(), keys.generate(), keys.generate()
    long_ago = NOW - dt.timedelta(days=1000)
    top = certificates.root(named(root), root_key, days=3000, now=long_ago)
    issuer = Issuer(top, root_key)
    between = certificates.intermediate(
        named("Test Intermediate"), intermediate_key.public_key(), issuer, days=2900, now=long_ago
    )
    server = certificates.server([name], key.public_key(), Issuer(between, intermediate_key), days=days, now=now)
    return Chain(top, between, server, key, intermediate_key)


def latin_1(chain: Chain) -> Chain:
    """The same, but the server's common name is "Züürich" as a TeletexString in Latin-1, which is not valid UTF-8."""
    assert isinstance(chain.intermediate_key, ec.EllipticCurvePrivateKey)
    issuer = Issuer(chain.intermediate, chain.intermediate_key)
    alternative = (x509.SubjectAlternativeName([x509.DNSName(WILDCARD)]), False)
    made = certificate("Z__rich", chain.key, [alternative], by=issuer)
    tbs = made.tbs_certificate_bytes.replace(b"\x0c\x07Z__rich", b"\x14\x07Z\xfc\xfcrich")
    signed = asn1.Certificate.load(made.public_bytes(Encoding.DER))
    signed["tbs_certificate"] = asn1.TbsCertificate.load(tbs)
    signed["signature_value"] = chain.intermediate_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return dataclasses.replace(chain, server=x509.load_der_x509_certificate(signed.dump()))
