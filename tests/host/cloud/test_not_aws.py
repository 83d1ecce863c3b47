"""An endpoint that answers, and is not AWS: each command says so in one line."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from rootlet.cli.cloud.group import command as cloud
from rootlet.cli.identity.ca import command as ca
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority

ANSWERS = {
    "a captive portal": (200, "text/html; charset=utf-8", b"<html><title>Welcome to the hotel</title></html>"),
    "another API": (200, "application/json", b"{}"),
    "an empty answer": (200, "text/plain", b""),
    "a proxy that refuses": (403, "text/html", b"<html>blocked</html>"),
}


@pytest.fixture(params=ANSWERS)
def portal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server that answers every request alike, and that boto3 is pointed at."""
    status, kind, body = ANSWERS[request.param]

    class Portal(http.server.BaseHTTPRequestHandler):
        server_version, sys_version = "hotspot/1", ""

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials that it saw first
        yield address
        server.shutdown()


COMMANDS = (
    "endpoint",
    "register DEVICE",
    "deactivate DEVICE",
    "activate DEVICE",
    "revoke DEVICE",
    "delete DEVICE",
    "rotate DEVICE --ca CA",
    "register-all DEVICES",
    "audit",
    "register-ca CA",
    "register-ca --request",
    "policy render",
    "policy check some-policy",
    "policy simulate DEVICE publish a",
    "command sensor-1 echo",
)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_says_what_answered_in_place_of_aws(
    words: str, portal: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", "correct horse battery staple")
    Authority.create(tmp_path / "ca", b"correct horse battery staple", name="CA")
    authority.issue("sensor-1").save(tmp_path / "devices" / "sensor-1")
    places = {"DEVICE": "devices/sensor-1", "DEVICES": "devices", "CA": "ca"}
    result = CliRunner().invoke(cloud, [str(tmp_path / places[word]) if word in places else word for word in words.split()])
    error = result.exception
    assert isinstance(error, RootletError), repr(error)
    assert error.what.startswith(f"{portal} is not AWS: hotspot/1") and "\n" not in error.what
    assert not (tmp_path / "devices" / "registered.jsonl").exists()


def test_a_key_in_kms_is_not_asked_of_what_is_not_aws(portal: str, tmp_path: Path) -> None:
    error = CliRunner().invoke(ca, ["create", str(tmp_path / "kms-ca"), "--key-in", "kms"]).exception
    assert isinstance(error, RootletError) and "is not AWS" in error.what
