"""The local IoT Core: on loopback, with a chain like Amazon's, gone when it is stopped."""

import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from mypy_boto3_iot import IoTClient
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import load_certificates
from rootlet.sandbox.sandbox import Sandbox
from rootlet.sandbox.server import SandboxSettings
from support.processes import survivors


def ports(sandbox: Sandbox) -> tuple[int, int]:
    return int(sandbox.facts.api_url.rpartition(":")[2]), sandbox.facts.mqtt_port


def listening(port: int) -> list[str]:
    """The local addresses, in /proc's hexadecimal, that listen on a port."""
    lines = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    entries = [line.split() for line in lines]
    return [entry[1].split(":")[0] for entry in entries if entry[3] == "0A" and entry[1].endswith(f":{port:04X}")]


def test_both_ports_listen_on_loopback_and_nowhere_else(sandbox: Sandbox) -> None:
    for port in ports(sandbox):
        assert listening(port) == ["0100007F"]


def test_the_endpoint_is_a_bare_host_name_as_aws_answers_it(sandbox: Sandbox, aws: IoTClient) -> None:
    host = aws.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert host == sandbox.facts.endpoint
    assert host.endswith("-ats.iot.us-east-1.localhost")


def test_the_chain_is_shaped_like_amazons(sandbox: Sandbox) -> None:
    (root,) = load_certificates(sandbox.root_pem)
    server, intermediate = load_certificates(Path(sandbox.facts.chain))
    assert intermediate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == [
        "*.iot.us-east-1.localhost",
        "localhost",
    ]
    server.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    for child, parent in ((server, intermediate), (intermediate, root)):
        aki = child.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        assert aki == parent.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def test_a_client_without_a_certificate_is_refused(sandbox: Sandbox) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.root_pem))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", sandbox.facts.mqtt_port)) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname=sandbox.facts.endpoint) as connection,
    ):
        connection.recv(1)


def test_a_port_that_is_taken_is_named_and_nothing_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RootletError, match=f"127.0.0.1:{port}"), Sandbox(SandboxSettings(mqtt_port=port)):
            pass


def test_a_stopped_sandbox_leaves_no_process_and_no_file() -> None:
    with Sandbox() as sandbox:
        process = sandbox._process
        assert process
        directory = sandbox.root_pem.parent
        assert not [path for path in directory.rglob("*") if "PRIVATE" in path.read_text(errors="replace")]
    assert not directory.exists()
    assert process.returncode is not None


def test_a_sandbox_dies_with_the_process_that_started_it() -> None:
    code = (
        "from rootlet.sandbox.sandbox import Sandbox; s = Sandbox(); s.start(); "
        "print(s._process.pid, flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    assert not survivors([pid]), "the sandbox outlived its owner"


def test_state_survives_a_restart_and_its_key_is_private(tmp_path: Path, authority: Authority) -> None:
    settings = SandboxSettings(state=str(tmp_path / "state"))
    with Sandbox(settings) as first:
        root = first.root_pem.read_bytes()
        first.iot().create_thing(thingName="remembered")
    with Sandbox(settings) as second:
        assert second.root_pem.read_bytes() == root
        things = second.iot().list_things()["things"]
    assert [thing["thingName"] for thing in things] == ["remembered"]
    modes = {path: path.stat().st_mode & 0o077 for path in (tmp_path / "state").rglob("*.key")}
    assert modes
    assert set(modes.values()) == {0}


def test_state_is_kept_where_the_terminal_is_closed(tmp_path: Path) -> None:
    settings = SandboxSettings(state=str(tmp_path / "state"))
    with Sandbox(settings) as first:
        first.iot().create_thing(thingName="remembered")
        assert first._process
        first._process.send_signal(signal.SIGHUP)
        first._process.wait(20)
    with Sandbox(settings) as second:
        assert second.iot().describe_thing(thingName="remembered")["thingName"]
