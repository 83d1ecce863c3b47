import ssl
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from rootlet.board import secure_cert
from rootlet.board.secure_cert import Entry, Type
from rootlet.errors import BadInput, RootletError
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.pki.keys import KeyType
from support.flashkit import mint


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-2048"])
@pytest.mark.parametrize("with_issuer", [True, False])
def test_an_identity_reads_back_as_it_was_written(issuer: Issuer, key_type: KeyType, with_issuer: bool) -> None:
    minted = mint(issuer, "sensor-1", key_type)
    if not with_issuer:
        minted = DeviceIdentity(minted.thing, minted.certificate, minted.key)
    found = secure_cert.to_identity(secure_cert.from_identity(minted))
    assert (found.thing, found.certificate_id, found.issuers) == (minted.thing, minted.certificate_id, minted.issuers)
    assert found.key_der() == minted.key_der()


def test_an_entry_is_laid_out_as_espressif_says() -> None:
    partition = secure_cert.encode([Entry(Type.DEVICE_CERTIFICATE, b"abc", subtype=7, flags=1)])
    body = bytes.fromhex("11BA5EBA 01 000000 01 07 0300") + b"abc" + bytes(13)
    assert partition[:32] == body + zlib.crc32(body, 0xFFFFFFFF).to_bytes(4, "little")
    assert partition[32:] == b"\xff" * (0x2000 - 32)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_entries_of_any_length_read_back(first: bytes, second: bytes) -> None:
    written = (Entry(1, first), Entry(2, second))
    assert secure_cert.decode(secure_cert.encode(written)) == written


def test_pem_with_its_terminating_zero_is_read(identity: DeviceIdentity) -> None:
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    partition = secure_cert.encode(
        [
            Entry(Type.DEVICE_CERTIFICATE, identity.certificate.public_bytes(Encoding.PEM) + b"\0"),
            Entry(Type.PRIVATE_KEY, key + b"\0"),
        ]
    )
    assert secure_cert.to_identity(partition).certificate_id == identity.certificate_id


@given(st.integers(0, 900), st.integers(1, 255))
def test_any_changed_byte_is_noticed(identity: DeviceIdentity, place: int, change: int) -> None:
    partition = bytearray(secure_cert.from_identity(identity))
    partition[place] ^= change
    with pytest.raises(RootletError, match=r"credential partition|eFuses"):
        secure_cert.to_identity(bytes(partition))


def test_an_empty_partition_is_named(identity: DeviceIdentity) -> None:
    with pytest.raises(RootletError, match="empty"):
        secure_cert.to_identity(b"\xff" * 0x2000)


@pytest.mark.parametrize("length", [3, 8, 40, 300])
def test_a_truncated_partition_is_refused(identity: DeviceIdentity, length: int) -> None:
    with pytest.raises(RootletError, match=r"empty|damaged|ends inside|does not fit"):
        secure_cert.to_identity(secure_cert.from_identity(identity)[:length])


def test_a_key_of_another_certificate_is_refused(identity: DeviceIdentity, other_identity: DeviceIdentity) -> None:
    partition = secure_cert.encode(
        [Entry(Type.DEVICE_CERTIFICATE, identity.certificate_der()), Entry(Type.PRIVATE_KEY, other_identity.key_der())]
    )
    with pytest.raises(RootletError, match="not the certificate's"):
        secure_cert.to_identity(partition)


def test_a_key_kept_in_efuses_is_named(identity: DeviceIdentity) -> None:
    partition = secure_cert.encode(
        [Entry(Type.DEVICE_CERTIFICATE, identity.certificate_der()), Entry(Type.PRIVATE_KEY, b"\1" * 32, flags=0x40)]
    )
    with pytest.raises(RootletError, match="eFuses"):
        secure_cert.to_identity(partition)


def test_a_key_never_shows_in_a_repr(identity: DeviceIdentity) -> None:
    entry = Entry(Type.PRIVATE_KEY, identity.key_der())
    assert identity.key_der().hex() not in repr(entry) and "data" not in repr(entry)


def test_credentials_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RootletError, match="take 8208"):
        secure_cert.encode([Entry(1, bytes(8188))])


@pytest.mark.parametrize(("place", "byte"), [(12, 1), (107, 0)], ids=["no such version", "a broken subject"])
def test_a_certificate_that_is_damaged_within_is_refused(
    identity: DeviceIdentity, tmp_path: Path, place: int, byte: int
) -> None:
    """The checksum of the partition is right; cryptography would find it damaged when a part of it is asked for."""
    entries = list(secure_cert.decode(secure_cert.from_identity(identity)))
    data = bytearray(entries[0].data)
    data[place] = byte
    entries[0] = Entry(entries[0].type, bytes(data))
    with pytest.raises(RootletError, match="cannot be read"):
        secure_cert.to_identity(secure_cert.encode(entries))
    (tmp_path / "device.crt").write_text(ssl.DER_cert_to_PEM_cert(bytes(data)))
    with pytest.raises(BadInput, match="holds no PEM certificate"):
        load_certificates(tmp_path / "device.crt")
