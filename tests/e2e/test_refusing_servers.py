"""The device must trust the cloud: each server that it refuses, why, and that no byte of MQTT reaches it.

The real Unix port, a real TLS server, an image as it would be burned.
"""

import datetime as dt
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet import resources
from rootlet.pki import certificates, keys
from rootlet.pki.authority import Authority
from support.certificates import certificate
from support.chains import HOST, NOW, latin_1, make_chain, named
from support.device import BuiltDevice, fault_line
from support.impostor import Impostor


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> BuiltDevice:
    return BuiltDevice(tmp_path, authority.issue("sensor-1"), {"endpoint": HOST}, resolve={HOST: "127.0.0.1"})


def trust(device: BuiltDevice, root: x509.Certificate) -> None:
    device.sandbox_root = device.directory / "root.crt"
    device.sandbox_root.write_bytes(root.public_bytes(Encoding.PEM))


def refused(device: BuiltDevice, server: Impostor, word: str) -> str:
    """Boot against ``server``; return the fault's line, after checking that the server heard nothing."""
    device.config = {"endpoint": HOST, "port": server.port}
    with server, device.boot() as board:
        line = fault_line(board, word)
        assert server.connections
        board.wait_for(r"backoff: ")  # the attempt is over
    assert not server.heard
    return line


def test_a_server_that_holds_the_trusted_chain_hears_mqtt(device: BuiltDevice) -> None:
    """The counter-proof to all below: what they find missing is there when the chain is right."""
    chain = make_chain()
    trust(device, chain.root)
    with Impostor(chain.sent, chain.key) as server:
        device.config = {"endpoint": HOST, "port": server.port}
        with device.boot():
            assert server.heard_something.wait(20)
    assert server.heard.startswith(b"\x10")
    assert b"sensor-1" in server.heard


def test_an_unknown_root_is_refused_by_name(device: BuiltDevice) -> None:
    trust(device, make_chain().root)
    impostor = make_chain(root="Somebody Else's Root")
    line = refused(device, Impostor([*impostor.sent, impostor.root], impostor.key), "tls-untrusted-root")
    assert "Somebody Else's Root" in line
    assert "rootlet roots list" in line


def test_the_root_of_another_key_with_the_trusted_name_is_refused(device: BuiltDevice) -> None:
    trust(device, make_chain().root)
    impostor = make_chain()
    refused(device, Impostor(impostor.sent, impostor.key), "tls-untrusted-root")


def test_amazons_roots_alone_do_not_trust_the_sandbox(device: BuiltDevice) -> None:
    impostor = make_chain()
    refused(device, Impostor(impostor.sent, impostor.key), "tls-untrusted-root")


def test_the_right_root_with_the_wrong_host_name_is_refused(device: BuiltDevice) -> None:
    chain = make_chain("*.iot.us-east-1.localhost")
    trust(device, chain.root)
    line = refused(device, Impostor(chain.sent, chain.key), "tls-hostname")
    assert "*.iot.us-east-1.localhost" in line
    assert HOST in line


@pytest.mark.parametrize("trusted", [True, False])
def test_a_server_whose_name_is_in_latin_1_is_judged_by_its_chain(device: BuiltDevice, trusted: bool) -> None:
    chain = latin_1(make_chain())
    trust(device, chain.root if trusted else make_chain().root)
    server = Impostor(chain.sent, chain.key)
    if not trusted:
        assert "Real Root" in refused(device, server, "tls-untrusted-root")
        return
    device.config = {"endpoint": HOST, "port": server.port}
    with server, device.boot() as board:
        board.wait_for("tls: trusted .*Z\u00fc\u00fcrich")


def test_an_expired_server_certificate_is_refused(device: BuiltDevice) -> None:
    chain = make_chain(days=1, now=NOW - dt.timedelta(days=9))
    trust(device, chain.root)
    assert "renew" in refused(device, Impostor(chain.sent, chain.key), "tls-expired")


def test_a_server_certificate_of_tomorrow_is_refused(device: BuiltDevice) -> None:
    chain = make_chain(now=NOW + dt.timedelta(days=9))
    trust(device, chain.root)
    assert "clock" in refused(device, Impostor(chain.sent, chain.key), "tls-not-yet-valid")


def test_a_server_that_leaves_out_its_intermediate_is_refused_with_that_cause(device: BuiltDevice) -> None:
    chain = make_chain()
    trust(device, chain.root)
    line = refused(device, Impostor([chain.server], chain.key), "tls-untrusted-root")
    assert "sent no intermediate" in line
    assert "Test Intermediate" in line


def test_a_self_signed_server_is_refused_with_that_cause(device: BuiltDevice) -> None:
    trust(device, make_chain().root)
    key = keys.generate()
    lone = certificate(HOST, key, [(x509.SubjectAlternativeName([x509.DNSName(HOST)]), False)])
    assert "signed itself" in refused(device, Impostor([lone], key), "tls-untrusted-root")


def test_a_server_that_ends_the_handshake_with_an_alert_is_told_from_one_without_tls(device: BuiltDevice) -> None:
    """OpenSSL finds no signature algorithm for a certificate that may only sign certificates."""
    key = keys.generate()
    ca = certificates.root(named(HOST), key, days=30)
    assert "alert" in refused(device, Impostor([ca], key), "tls-failed")


@pytest.mark.parametrize(
    "greeting", [b"", b"220 smtp.example ESMTP\r\n", b"\x20\x02\x00\x00"], ids=["silent", "smtp", "connack"]
)
def test_plain_tcp_is_refused(device: BuiltDevice, greeting: bytes) -> None:
    device.config = {"endpoint": HOST, "connect_timeout": 5}
    with Impostor(None, greeting=greeting) as server:
        device.config = {"endpoint": HOST, "port": server.port, "connect_timeout": 5}
        with device.boot() as board:
            line = fault_line(board, "tls-no-tls")
    assert "8883" in line
    assert server.heard.startswith(b"\x16\x03")  # a ClientHello, and nothing behind it but its like
    assert b"MQTT" not in server.heard
    assert b"sensor-1" not in server.heard


def test_a_firmware_that_does_not_verify_is_caught_by_these_tests(
    device: BuiltDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification switched off: MQTT reaches the impostor. So the tests above would see it, were it ever off."""
    firmware = tmp_path / "firmware"
    shutil.copytree(resources.FIRMWARE, firmware)
    source = (firmware / "leaf" / "trust.py").read_text()
    begin, end = "    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)\n", "    if made.verify_mode != tls.CERT_REQUIRED:"
    assert begin in source
    assert end in source
    source = source.replace(begin, begin + "    made.verify_mode = tls.CERT_NONE\n").replace(end, "    if False:")
    (firmware / "leaf" / "trust.py").write_text(source)
    monkeypatch.setattr(resources, "FIRMWARE", firmware)
    impostor = make_chain(root="Somebody Else's Root")
    with Impostor(impostor.sent, impostor.key) as server:
        device.config = {"endpoint": HOST, "port": server.port}
        with device.boot():
            assert server.heard_something.wait(20)
    assert b"MQTT" in server.heard


def test_a_firmware_whose_context_does_not_verify_refuses_to_connect(
    device: BuiltDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard behind the setting: a context that does not verify is never used."""
    firmware = tmp_path / "firmware"
    shutil.copytree(resources.FIRMWARE, firmware)
    source = (firmware / "leaf" / "trust.py").read_text()
    begin = "    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)\n"
    (firmware / "leaf" / "trust.py").write_text(source.replace(begin, begin + "    made.verify_mode = tls.CERT_NONE\n"))
    monkeypatch.setattr(resources, "FIRMWARE", firmware)
    with Impostor(None) as server:
        device.config = {"endpoint": HOST, "port": server.port}
        with device.boot() as board:
            assert "does not verify" in fault_line(board, "tls-failed")
    assert not server.connections
