"""What a server shows after its owner moved to another root, with the old one embedded in the device."""

from cryptography.hazmat.primitives.asymmetric import rsa

from .chains import HOST, WILDCARD
from .defects import DefectCase, Signed, case, intermediate, root, sign


def _below(top: Signed, *more: Signed, fault: str, openssl: bool, roots: tuple[Signed, ...] = ()) -> DefectCase:
    """A server's certificate under an intermediate of ``top``; ``more`` is sent after it."""
    between = sign("Moved Intermediate", top, ca=True, path_length=0)
    leaf = sign("server", between, names=[WILDCARD])
    sent = (leaf.certificate, between.certificate, *(one.certificate for one in more))
    return DefectCase(sent, leaf.key, tuple(one.certificate for one in roots or (root(),)), HOST, fault, openssl)


@case
def moved_to_a_root_that_the_embedded_one_cross_signed() -> DefectCase:
    # As the roots of the European Sovereign Cloud, which Amazon Root CA 1, 3 and 4 cross-signed.
    new = sign("New Root", ca=True)
    return _below(new, sign("New Root", root(), ca=True, key=new.key), fault="", openssl=True)


@case
def moved_to_a_root_cross_signed_by_an_embedded_one_of_the_other_kind() -> DefectCase:
    old = sign("RSA Root", ca=True, key=rsa.generate_private_key(65537, 2048))
    new = sign("New Root", ca=True)
    return _below(new, sign("New Root", old, ca=True, key=new.key), fault="", openssl=True, roots=(root(), old))


@case
def moved_to_a_root_of_which_the_device_knows_nothing() -> DefectCase:
    return _below(sign("New Root", ca=True), fault="tls-untrusted-root", openssl=False)


@case
def moved_to_a_root_that_was_embedded_in_time() -> DefectCase:
    new = sign("New Root", ca=True)
    return _below(new, fault="", openssl=True, roots=(root(), new))


@case
def root_reissued_with_its_name_and_key() -> DefectCase:
    # The device has the old certificate; trust is by name and key, so it is as good as the new one.
    return _below(sign("Test Root", ca=True, key=root().key, valid=(-10, 5000)), fault="", openssl=True)


@case
def root_renamed_with_its_key() -> DefectCase:
    return _below(sign("Better Test Root", ca=True, key=root().key), fault="tls-untrusted-root", openssl=False)


@case
def root_renamed_and_its_intermediate_left_as_it_was() -> DefectCase:
    # The chain that devices get does not change: the certificates of the old name stay valid.
    leaf = sign("server", intermediate(), names=[WILDCARD])
    sent = (leaf.certificate, intermediate().certificate)
    return DefectCase(sent, leaf.key, (root().certificate,), HOST, "", True)
