"""``rootlet chain``: what it shows, its exit codes, and what it does with wrong input."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from rootlet.cli.output import out
from rootlet.cli.trust import chain as cli
from rootlet.errors import BadInput, RootletError
from rootlet.pki.authority import Authority
from rootlet.trust.links import link
from rootlet.trust.model import Certificate
from rootlet.trust.stores import pinned
from support import odd_chains
from support.certificates import certificate
from support.chains import HOST
from support.defects import CASES, DefectCase, root, sign
from support.device import BuiltDevice

Look = Callable[..., Result]


def test_a_sound_chain_is_shown_link_by_link_and_exits_0(look: Look) -> None:
    result = look("sound")
    assert result.exit_code == 0, result.output
    case = CASES["sound"]()
    intermediate = Certificate(case.sent[1].public_bytes(Encoding.DER))
    for text in ("would connect", "Test Root", "(not sent)", f"AKI {intermediate.ski}", "Test Intermediate", "*.iot"):
        assert text in result.output
    assert "days left" in result.output


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("expired", "expired on"),
        ("wrong_host", "is none of: other.example"),
        ("missing_intermediate", "missing: CN=Test Intermediate"),
        ("wrong_order", "reordered: sent out of order"),
        ("other_key_in_intermediate", "broken: server names Test Intermediate as its issuer, but its AKI is"),
        ("self_signed", "is self-signed"),
        ("sha1_signature", "is signed with sha1"),
        ("path_length_exceeded", "allows a path of 0 CAs"),
        ("twenty_certificates", "longer than the 10 certificates"),
    ],
)
def test_a_defect_is_named_and_exits_1(look: Look, case: str, words: str) -> None:
    result = look(case)
    assert result.exit_code == 1
    assert words in result.output
    assert "would not connect" in result.output


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("root_sent_too", "superfluous"),
        ("superfluous_stranger", "superfluous"),
        ("cross_signed_both_roots_embedded", "cross-signed"),
    ],
)
def test_what_is_odd_but_harmless_is_named_and_exits_0(look: Look, case: str, kind: str) -> None:
    result = look(case)
    assert result.exit_code == 0, result.output
    assert f"{kind}: " in result.output


def test_json_has_every_field_of_every_certificate(look: Look) -> None:
    report = json.loads(look("sound", "--json").stdout)
    (chain,) = report["chains"]
    assert report["would_connect"] is True
    leaf, between = chain["certificates"]
    assert leaf["aki"] == between["ski"]
    assert between["aki"] == chain["anchor"]["ski"]
    assert leaf["extended_key_usage"] == ["serverAuth"]
    assert between["basic_constraints"] == "CA, path length 0"
    assert chain["tls"].startswith("TLSv1.2 ECDHE-ECDSA-AES")
    assert [rule["ok"] for rule in chain["verdict"]["rules"]] == [True] * 7


def test_the_date_is_ours_to_choose(look: Look) -> None:
    result = look("sound", "--at", "2070-01-01")
    assert result.exit_code == 1
    assert "expired" in result.output


def test_tls_1_3_shows_the_same_chain(look: Look) -> None:
    report = json.loads(look("sound", "--tls", "1.3", "--json").stdout)
    assert report["chains"][0]["tls"].startswith("TLSv1.3")
    assert len(report["chains"][0]["certificates"]) == 2


@pytest.mark.parametrize("version", ["1.2", "1.3", "any"])
def test_a_server_without_tls_1_2_is_none_for_a_device_whatever_is_asked_for(look: Look, version: str) -> None:
    def modern(context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3

    result = look("sound", "--tls", version, adjust=modern)
    assert result.exit_code == 1
    if version == "1.2":
        assert isinstance(result.exception, RootletError)
    text = f"{result.output} {getattr(result.exception, 'hint', '')}"
    assert "IoTSecurityPolicy_TLS13_1_2_2022_10" in " ".join(text.split())
    if version != "1.2":
        assert "would not connect" in result.output and "TLSv1.3" in result.output
        assert json.loads(look("sound", "--tls", version, "--json", adjust=modern).stdout)["would_connect"] is False


def test_a_root_that_a_device_cannot_load_is_named_and_does_not_count_where_another_ends_the_chain(
    look: Look, tmp_path: Path
) -> None:
    constrained = (x509.NameConstraints([x509.DNSName("a.example")], None), True)
    useless = certificate("Odd Root", ec.generate_private_key(ec.SECP256R1()), [constrained])
    (tmp_path / "odd.pem").write_bytes(useless.public_bytes(Encoding.PEM))
    result = look("sound", "--root", tmp_path / "odd.pem")
    assert result.exit_code == 0
    assert "Odd Root has a critical nameConstraints" in result.output and "would connect" in result.output


def test_ciphers_that_a_device_does_not_offer_show_a_chain_and_no_verdict_on_a_device(look: Look) -> None:
    def odd(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")

    result = look("sound", "--ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305", adjust=odd)
    assert "CHACHA20" in result.output and "would not connect" in result.output
    assert result.exit_code == 1


def test_a_server_with_two_chains_shows_each_to_who_asks(tmp_path: Path) -> None:
    """As an AWS endpoint does: by the key type that is offered."""
    from rootlet.pki import keys
    from support.defects import intermediate, root, sign

    chains = {
        "ecdsa": sign("ecdsa.server", intermediate(), names=[HOST]),
        "rsa": sign("rsa.server", intermediate(), names=[HOST], key=rsa.generate_private_key(65537, 2048)),
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, made in chains.items():
        pem = made.certificate.public_bytes(Encoding.PEM) + intermediate().certificate.public_bytes(Encoding.PEM)
        path = tmp_path / name
        path.write_bytes(pem + keys.pem(made.key))
        context.load_cert_chain(path)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
                with context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(1)
            except OSError:
                if listener.fileno() == -1:
                    return

    threading.Thread(target=serve, daemon=True).start()
    (tmp_path / "root.pem").write_bytes(root().certificate.public_bytes(Encoding.PEM))
    base = [f"{HOST}:{listener.getsockname()[1]}", "--address", "127.0.0.1", "--json"]
    # The pinned RSA root makes the device offer both; the test's own root ends the chains.
    roots = ["--root", str(tmp_path / "root.pem"), "--root", "amazon-root-ca-1"]
    report = json.loads(CliRunner().invoke(cli.command, [*base, *roots]).stdout)
    assert [chain["certificates"][0]["key"] for chain in report["chains"]] == ["EC P-256", "RSA 2048"]
    for version in ("1.2", "1.3"):
        result = CliRunner().invoke(cli.command, [*base, *roots, "--algorithm", "rsa", "--tls", version])
        assert [c["certificates"][0]["key"] for c in json.loads(result.stdout)["chains"]] == ["RSA 2048"]
    listener.close()


def test_what_came_is_saved_and_read_again_from_the_file(look: Look, tmp_path: Path) -> None:
    saved = tmp_path / "came.pem"
    assert look("sound", "--pem", saved).exit_code == 0
    roots = str(tmp_path / "roots.pem")
    again = CliRunner().invoke(cli.command, [str(saved), "--root", roots, "--hostname", HOST])
    assert again.exit_code == 0, again.output
    wrong = CliRunner().invoke(cli.command, [str(saved), "--root", roots, "--hostname", "other.example"])
    assert wrong.exit_code == 1


def test_an_image_brings_its_roots_and_its_devices_chain(tmp_path: Path, look: Look, authority: Authority) -> None:
    case = CASES["sound"]()
    root = tmp_path / "root.crt"
    root.write_bytes(case.roots[0].public_bytes(Encoding.PEM))
    device = BuiltDevice(tmp_path, authority.issue("chain-1"), {"endpoint": HOST}, root)
    device.build()
    report = json.loads(CliRunner().invoke(cli.command, ["--image", str(device.flash), "--json"]).stdout)
    assert sorted(report["roots"]) == ["amazon-root-ca-1", "amazon-root-ca-3", "sandbox"]
    assert report["chains"][0]["certificates"][0]["subject"] == "CN=chain-1"
    assert report["would_connect"] is None
    server = DefectCase(case.sent, case.key, case.roots, case.host, "", True)
    from support.impostor import Impostor

    with Impostor(list(server.sent), server.key) as running:
        target = [f"{HOST}:{running.port}", "--address", "127.0.0.1", "--image", str(device.flash), "--json"]
        both = json.loads(CliRunner().invoke(cli.command, target).stdout)
    assert both["would_connect"] is True
    assert [chain["title"] for chain in both["chains"]] == ["server, as a device is served", "device in flash.bin"]
    assert "PRIVATE" not in json.dumps(both)


def test_a_server_that_asks_for_a_client_certificate_is_shown_without_one(sandbox: object) -> None:
    facts = sandbox.facts  # type: ignore[attr-defined]
    arguments = [f"{facts.endpoint}:{facts.mqtt_port}", "--address", "127.0.0.1", "--root", str(sandbox.root_pem)]  # type: ignore[attr-defined]
    result = CliRunner().invoke(cli.command, arguments)
    assert result.exit_code == 0, result.output
    assert "Rootlet Sandbox ECDSA M01" in result.output


def refuse(*arguments: str) -> RootletError:
    result = CliRunner().invoke(cli.command, list(arguments))
    assert isinstance(result.exception, RootletError), result.output
    return result.exception


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no server, file, image or board is named"),
        (["host:99999"], "is not a port"),
        (["two words"], "is not HOST"),
        (["no-such.pem"], "no such file"),
        (["host", "--at", "soon"], "not a date"),
        (["host", "--root", "amazon-root-ca-9"], "neither a pinned root nor a file"),
        (["host", "--ciphers", "NONSENSE"], "OpenSSL has none of the ciphers"),
        (["host", "--cert", "x"], "go together"),
        (["a..b"], "is not a host name"),
        (["a" * 70 + ".example"], "is not a host name"),
        (["localhost", "--address", "a..b"], "is not a host name"),
        (["host", "--aws"], "a host, --aws and --domain exclude each other"),
        (["host", "--root", "amazon-root-ca-3", "--algorithm", "rsa"], "offers no such suite"),
    ],
)
def test_wrong_input_is_named_and_exits_2(arguments: list[str], words: str) -> None:
    error = refuse(*arguments)
    assert isinstance(error, BadInput)
    assert words in error.what
    assert error.hint


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e99"])
def test_a_timeout_that_cannot_be_waited_for_is_refused(seconds: str) -> None:
    done = CliRunner().invoke(cli.command, ["localhost", "--timeout", seconds])
    assert done.exit_code == 2
    assert "--timeout" in done.output


def test_an_encrypted_key_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    signed = sign("device")
    (tmp_path / "crt").write_bytes(signed.certificate.public_bytes(Encoding.PEM))
    encryption = BestAvailableEncryption(b"secret")
    (tmp_path / "key").write_bytes(signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    error = refuse("localhost", "--cert", str(tmp_path / "crt"), "--key", str(tmp_path / "key"))
    assert isinstance(error, BadInput)
    assert "unencrypted" in error.hint


def test_a_certificate_that_cannot_be_read_hides_no_other_and_makes_the_verdict_a_refusal(look: Look) -> None:
    result = look(odd_chains.superfluous_with_an_extension_twice())
    assert result.exit_code == 1, result.output
    assert "1 certificate is not valid X.509" in result.output
    assert "Test Intermediate" in result.output


def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("hello")
    assert "no X.509 certificate" in refuse(str(tmp_path / "x.pem")).what


def test_a_host_without_an_address_and_a_closed_port_are_told_apart() -> None:
    assert "has no address" in refuse("no-such-host.invalid").what
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "does not accept the connection" in refuse(f"127.0.0.1:{port}").what


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"220 mail.example ESMTP\r\n", "does not speak TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
        (b"", "closed the connection in the handshake"),
        (None, "did not answer the handshake in 1 s"),
    ],
)
def test_what_is_no_tls_server_is_told(greeting: bytes | None, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                if greeting is None:
                    while connection.recv(4096):
                        pass
                else:
                    connection.recv(4096)
                    connection.sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        assert words in refuse(f"127.0.0.1:{listener.getsockname()[1]}", "--timeout", "1").what


def test_a_server_that_closes_in_the_middle_of_its_certificates_is_told(tmp_path: Path) -> None:
    case = CASES["sound"]()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x16\x03\x03\x10\x00\x02" + case.sent[0].public_bytes(Encoding.DER)[:100])

        threading.Thread(target=serve, daemon=True).start()
        assert "sent no certificate" in refuse(f"127.0.0.1:{listener.getsockname()[1]}").what


def test_amazon_root_ca_3_has_the_key_identifier_that_aws_chains_point_at() -> None:
    assert pinned()["amazon-root-ca-3"].ski == "AB:B6:DB:D7:06:9E:37:AC:30:86:07:91:70:C7:9C:C4:19:B1:78:C0"


def test_two_ways_up_are_both_found() -> None:
    case = CASES["cross_signed_both_roots_embedded"]()

    def own(certificates: tuple[x509.Certificate, ...]) -> list[Certificate]:
        return [Certificate(certificate.public_bytes(Encoding.DER)) for certificate in certificates]

    anchors = {path.anchor.common_name for path in link(own(case.sent), own(case.roots)).paths if path.anchor}
    assert anchors == {"Test Root", "Old Root"}


def test_the_command_itself_exits_with_what_it_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rootlet.cli.main", "chain"]
    assert subprocess.run([*command, "host:x"], capture_output=True, check=False).returncode == 2


def test_a_way_up_that_the_device_does_not_take_is_named(look: Look) -> None:
    result = look(odd_chains.cross_signed_wrong_one_first())
    assert result.exit_code == 1
    assert "a path exists (server → Test Intermediate → Test Root), but the device does not use it" in result.output
    assert "a way up is there" not in look("missing_intermediate").output


def test_a_name_in_a_certificate_cannot_steer_the_terminal(look: Look) -> None:
    evil = sign("nice\x1b[2J\u202e", root(), names=[HOST])
    output = look(DefectCase((evil.certificate,), evil.key, (root().certificate,), HOST, "", True)).output
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "nice\\x1b" in output


def test_an_identifier_is_shown_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("AKI C7:AB:76:B2:1A:CC:SOS:44")
    assert "C7:AB:76" in capsys.readouterr().out
