"""A case that nobody can fail is not a case: for each of them a client with one defect, or a document, that fails it."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from rootlet.advisor import cases, runner
from rootlet.advisor.chains import Chains
from rootlet.advisor.devices import CommandDevice
from rootlet.advisor.grading import Result, Verdict
from rootlet.advisor.runner import Runner

CLIENT = """
import os, socket, ssl, sys, time
given = {name: os.environ["ROOTLET_ADVISOR_" + name] for name in ("HOST", "PORT", "ROOT", "CERTIFICATE", "KEY")}
CONNECT = b"\\x10\\x0d\\x00\\x04MQTT\\x04\\x00\\x00\\x1e\\x00\\x01a"
SUBSCRIBE = b"\\x82\\x06\\x00\\x01\\x00\\x01t\\x01"
def context(root=given["ROOT"]):
    made = ssl.create_default_context(cafile=root)
    made.load_cert_chain(given["CERTIFICATE"], given["KEY"])
    return made
patience = 5
def dial():
    return socket.create_connection((given["HOST"], int(given["PORT"])))
def connect(with_context=None):
    made = (with_context or context()).wrap_socket(dial(), server_hostname=given["HOST"])
    made.settimeout(patience)
    made.sendall(CONNECT)
    made.recv(4)
    return made
"""
OTHER_ROOT = "connect(ssl.create_default_context())"
OLD_TLS = """
old = context(); old.set_ciphers("ALL:@SECLEVEL=0")
old.minimum_version = ssl.TLSVersion.TLSv1; old.maximum_version = ssl.TLSVersion.TLSv1_1
connect(old)
"""
NO_VERIFICATION = """
trusting = context(); trusting.check_hostname = False; trusting.verify_mode = ssl.CERT_NONE
connect(trusting); time.sleep(5)
"""
NO_NAME = "loose = context(); loose.check_hostname = False; connect(loose); time.sleep(5)"
OTHER_SUITES = """
few = context(); few.maximum_version = ssl.TLSVersion.TLSv1_2; few.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
connect(few)
"""
SMALL_BUFFER = """
# TLS 1.2 with a buffer of its own for the server's Certificate message, which comes in the clear.
limit = %d
small = context(); small.maximum_version = ssl.TLSVersion.TLSv1_2
into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
tls, wire = small.wrap_bio(into, out, server_hostname=given["HOST"]), dial()
records = handshake = b""
while True:
    try:
        tls.do_handshake()
        wire.sendall(out.read())
        break
    except ssl.SSLWantReadError:
        wire.sendall(out.read())
    data = wire.recv(65536)
    if not data: sys.exit("the server hung up")
    into.write(data)
    records += data
    while len(records) >= 5 and len(records) >= 5 + int.from_bytes(records[3:5], "big"):
        length = int.from_bytes(records[3:5], "big")
        if records[0] == 22: handshake += records[5:5 + length]
        records = records[5 + length:]
    while len(handshake) >= 4:
        length = int.from_bytes(handshake[1:4], "big")
        if handshake[0] == 11 and length > limit: sys.exit("the certificates do not fit")
        if len(handshake) < 4 + length: break
        handshake = handshake[4 + length:]
time.sleep(5)
"""
OTHER_LEVEL = 'CONNECT = CONNECT.replace(b"\\x04\\x00", b"\\x09\\x00"); connect()'
MUTE = "connect()"
HASH_INSIDE = 'connect().sendall(b"\\x82\\x0a\\x00\\x01\\x00\\x05a/#/b\\x01")'
HASH_PUBLISHED = 'connect().sendall(b"\\x30\\x05\\x00\\x03a/#")'
NO_PUBACK = "mine = connect(); mine.sendall(SUBSCRIBE); mine.recv(5); mine.recv(99); time.sleep(1)"
HURRIES = """
patience = 0.5
while True:
    mine = None
    try:
        mine = connect(); mine.sendall(SUBSCRIBE); mine.settimeout(0.05); mine.recv(99)
    except OSError: pass
    if mine: mine.close()
"""
WIDE: dict[str, Any] = {"Statement": [{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}]}

PROOFS: dict[str, dict[str, str]] = {
    "TLS_Connect": {"trusts another root": OTHER_ROOT, "knows only TLS 1.1": OLD_TLS},
    "TLS_Receive_Maximum_Size_Fragments": {"never sends PUBACK": NO_PUBACK},
    "TLS_Support_Aws_IoT_Cipher_Suites": {"offers none of the suites": OTHER_SUITES},
    "TLS_Large_Size_Server_Cert": {"has room for the usual certificates": SMALL_BUFFER},
    "TLS_Unsecure_Server_Cert": {"does not verify": NO_VERIFICATION},
    "TLS_Incorrect_Subject_Name_Server_Cert": {"does not verify": NO_VERIFICATION, "does not look at the name": NO_NAME},
    "TLS_Expired_Server_Cert": {"does not verify": NO_VERIFICATION},
    "MQTT_Connect": {"speaks another protocol level": OTHER_LEVEL},
    "MQTT_Client_Puback_QoS1": {"never sends PUBACK": NO_PUBACK},
    "MQTT_Connect_Jitter_Backoff_Retries": {"hurries": HURRIES},
    "MQTT_Connect_Exponential_Backoff_Retries": {"hurries": HURRIES},
    "MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect": {"hurries": HURRIES},
    "MQTT_Reconnect_Wait_After_Success": {"hurries": HURRIES},
    "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection": {"hurries": HURRIES},
    "MQTT_Publish": {"never publishes": MUTE, "publishes to a wildcard": HASH_PUBLISHED},
    "MQTT_Subscribe": {"never subscribes": MUTE, "subscribes to no valid filter": HASH_INSIDE},
    "Ours_Huge_Server_Cert": {"has 8 KiB for certificates": SMALL_BUFFER % 8192},
    "Ours_Takeover": {"hurries": HURRIES},
    "Ours_Split_Packets": {"never sends PUBACK": NO_PUBACK},
    "Ours_Coalesced_Packets": {"never sends PUBACK": NO_PUBACK},
    "Security_Device_Policies": {"allows every resource": MUTE},
}

NO_PROOF_HERE = {
    "MQTT_Publish_Retry_No_Puback",
    "MQTT_Subscribe_Retry_No_Suback",
    "MQTT_No_Ack_PingResp",
    "MQTT_Persistent_Session_Happy_Case",
    "MQTT_Expired_Persistent_Session",
    "Shadow_Publish_Reported_State",
    "Shadow_Update_Reported_State",
    "Job_Execution",
    "Long_Duration",
    "Ours_Root_Rollover",
    "Ours_Clock_Unset",
    "Ours_DNS_Change",
    "Ours_Session_Expires_Offline",
    "Ours_Payload_128_KiB",
    "Ours_Payload_128_KiB_And_A_Byte",
    "Ours_Slow_Loris",
    "Ours_Renegotiation",
    "Ours_Silent_Server",
    "Ours_No_Connack",
    "Ours_Malformed_Packet",
    "Ours_Power_Cut",
}
"""Cases without a proof in this file. A new case must not come in here."""


@pytest.fixture(scope="module")
def chains() -> Chains:
    return Chains.mint(["localhost"])


def verdict(tmp_path: Path, chains: Chains, body: str, name: str) -> Verdict:
    script = tmp_path / "client.py"
    script.write_text(CLIENT + textwrap.dedent(body))
    device = CommandDevice(f"{sys.executable} {script}", chains)
    try:
        (outcome,) = Runner(device, chains, options={"policy": WIDE}).run(runner.select([name], None))
    finally:
        device.close()
    return outcome.verdict


@pytest.mark.parametrize(("name", "defect"), [(name, defect) for name, known in PROOFS.items() for defect in known])
def test_a_client_with_this_defect_fails(tmp_path: Path, chains: Chains, name: str, defect: str) -> None:
    body = PROOFS[name][defect]
    if name == "TLS_Large_Size_Server_Cert":
        body = SMALL_BUFFER % message_size(chains.good.size)
    found = verdict(tmp_path, chains, body, name)
    assert found.result is Result.FAIL, found.evidence


def message_size(certificates: int) -> int:
    """Of a Certificate message of two: each has its length before it, and so has the list (RFC 5246 §7.4.2)."""
    return certificates + 3 * 3


def test_a_client_with_room_for_the_large_certificate_passes(tmp_path: Path, chains: Chains) -> None:
    """So that it is those 20 bytes that the other one fails on."""
    body = SMALL_BUFFER % message_size(chains.large.size)
    found = verdict(tmp_path, chains, body, "TLS_Large_Size_Server_Cert")
    assert found.result is Result.PASS, found.evidence


def test_every_case_is_proved_or_named_as_not_proved() -> None:
    assert set(PROOFS) | NO_PROOF_HERE == set(cases.catalogue())
    assert not set(PROOFS) & NO_PROOF_HERE
