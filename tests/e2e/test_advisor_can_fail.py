"""A case that nobody can fail is not a case: for each of them a client with one defect, or a document, that fails it."""

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from rootlet.advisor import cases, devices, runner
from rootlet.advisor.chains import HOST, Chains
from rootlet.advisor.devices import CommandDevice, VirtualDevice
from rootlet.advisor.grading import CaseVerdict, Result
from rootlet.advisor.runner import Runner
from rootlet.advisor.settings import Settings

CLIENT = """
import os, signal, socket, ssl, sys, time
signal.alarm(100)  # an end for a client that loops, should its test be killed
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
    if not data: sys.exit("the server disconnected")
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
WIDE: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}],
}

PUBLISH = "mine = connect(); mine.sendall(b'\\x32\\x05\\x00\\x01t\\x00\\x05'); time.sleep(0.5)"
SUBSCRIBES = "mine = connect(); mine.sendall(SUBSCRIBE); time.sleep(0.5)"
NO_KEEP_ALIVE = 'CONNECT = CONNECT.replace(b"\\x00\\x1e", b"\\x00\\x00"); connect()'
KEEPS_DEAD = """
CONNECT = CONNECT.replace(b"\\x00\\x1e", b"\\x00\\x01")
mine = connect(); mine.sendall(b"\\xc0\\x00"); time.sleep(30)
"""
WAITS_FOR_SUBACK = """
CONNECT = CONNECT.replace(b"\\x00\\x1e", b"\\x00\\x01")
mine = connect(); mine.sendall(SUBSCRIBE); time.sleep(30)
"""
TWICE = """
for again in range(2):
    mine = connect()
    if not again or %s: mine.sendall(SUBSCRIBE)
    try:
        while mine.recv(99): pass
    except OSError: pass
"""
CLEAN = 'CONNECT = CONNECT.replace(b"\\x04\\x00", b"\\x04\\x02")' + TWICE % "True"
SERVICE = """
def text(value): return len(value).to_bytes(2, "big") + value
def packet(kind, body): return bytes([kind, len(body)]) + body
mine = connect()
mine.sendall(packet(0x82, b"\\0\\1" + text(b"$aws/things/a/%s") + b"\\1"))
mine.recv(99)
mine.sendall(packet(0x30, text(b"$aws/things/a/%s") + b'%s'))
mine.settimeout(1)
try:
    while mine.recv(99): pass
except OSError: pass
"""
ONE_ROOT = """
first = open(given["ROOT"]).read().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
only = ssl.create_default_context(cadata=first); only.load_cert_chain(given["CERTIFICATE"], given["KEY"])
while True:
    try:
        mine = connect(only)
        while mine.recv(99): pass
    except OSError: time.sleep(0.1)
"""
BLOCKS = "mine = connect(); mine.sendall(SUBSCRIBE + b'\\x30\\x03\\x00\\x01t'); mine.recv(5); mine.recv(1); time.sleep(1)"
PLAIN = "wire = dial(); wire.sendall(CONNECT); wire.close()"
GIVES_UP = "patience = 1; connect()"
PLAIN_AGAIN = "wire = dial(); time.sleep(0.5); wire.close(); wire = dial(); wire.sendall(CONNECT); time.sleep(1)"
GIVES_UP_TLS = "wire = dial(); wire.settimeout(1); context().wrap_socket(wire, server_hostname=given['HOST'])"

PROOFS: dict[str, dict[str, tuple[str, str]]] = {
    "TLS_Connect": {
        "trusts another root": (OTHER_ROOT, "alert unknown_ca"),
        "knows only TLS 1.1": (OLD_TLS, "unsupported protocol"),
    },
    "TLS_Receive_Maximum_Size_Fragments": {"never sends PUBACK": (NO_PUBACK, "no PUBACK")},
    "TLS_Support_AWS_IoT_Cipher_Suites": {"offers none of the suites": (OTHER_SUITES, "none of AWS IoT's cipher suites")},
    "TLS_Large_Size_Server_Cert": {"has room for the usual certificates": (SMALL_BUFFER, "no handshake")},
    "TLS_Unsecure_Server_Cert": {
        "does not verify": (NO_VERIFICATION, "the device trusted the server"),
        "speaks no TLS": (PLAIN, "no ClientHello"),
        "knows only TLS 1.1": (OLD_TLS, "the certificate was not refused"),
    },
    "TLS_Incorrect_Subject_Name_Server_Cert": {
        "speaks no TLS": (PLAIN, "no ClientHello"),
        "does not verify": (NO_VERIFICATION, "the device trusted the server"),
        "does not look at the name": (NO_NAME, "the device trusted the server"),
    },
    "TLS_Expired_Server_Cert": {
        "does not verify": (NO_VERIFICATION, "the device trusted the server"),
        "speaks no TLS": (PLAIN, "no ClientHello"),
    },
    "MQTT_Connect": {"speaks another protocol level": (OTHER_LEVEL, "level 9")},
    "MQTT_Client_Puback_QoS1": {"never sends PUBACK": (NO_PUBACK, "no PUBACK")},
    "MQTT_Connect_Jitter_Backoff_Retries": {"hurries": (HURRIES, "constant")},
    "MQTT_Connect_Exponential_Backoff_Retries": {"hurries": (HURRIES, "constant")},
    "MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect": {"hurries": (HURRIES, "constant")},
    "MQTT_ReconnectionAfterSuccessfulConnection": {"hurries": (HURRIES, "at least 1 s")},
    "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection": {"hurries": (HURRIES, "constant")},
    "MQTT_Publish": {
        "never publishes": (MUTE, "no PUBLISH"),
        "publishes to a wildcard": (HASH_PUBLISHED, "not a topic name"),
    },
    "MQTT_Publish_Retry_No_Puback": {"sends it once": (PUBLISH, "never resent on this connection")},
    "MQTT_Subscribe_Retry_No_Suback": {"asks once": (SUBSCRIBES, "never resent on this connection")},
    "MQTT_Subscribe": {
        "never subscribes": (MUTE, "no SUBSCRIBE"),
        "subscribes to no valid filter": (HASH_INSIDE, "not a topic filter"),
    },
    "MQTT_No_Ack_PingResp": {
        "has no keep-alive": (NO_KEEP_ALIVE, "keep-alive is 0"),
        "keeps a dead connection": (KEEPS_DEAD, "kept the connection"),
        "waits for SUBACK without end": (WAITS_FOR_SUBACK, "kept the connection"),
        "ends altogether": (SUBSCRIBES, "the device has ended"),
    },
    "MQTT_Persistent_Session_Happy_Case": {
        "asks for a clean session": (CLEAN, "clean session"),
        "subscribes all the same": (TWICE % "True", "subscribed again"),
    },
    "MQTT_Expired_Persistent_Session": {"does not subscribe again": (TWICE % "False", "did not subscribe again")},
    "Shadow_Publish_Reported_State": {
        "only asks": (SERVICE % ("shadow/get/accepted", "shadow/get", ""), "published no state.reported")
    },
    "Shadow_Update_Reported_State": {
        "does not follow": (
            SERVICE % ("shadow/update/delta", "shadow/update", '{"state": {"reported": {"lamp": 0}}}'),
            "was not reported",
        )
    },
    "Job_Execution": {
        "takes it and says no more": (SERVICE % ("jobs/start-next/accepted", "jobs/start-next", "{}"), "no status of")
    },
    "Security_Device_Policies": {"allows every resource": (MUTE, "the resource * matches everything")},
    "MQTT_Long_Duration": {"gives up at once": (MUTE, "none was sent")},
    "Ours_Huge_Server_Cert": {"has 8 KiB for certificates": (SMALL_BUFFER % 8192, "no handshake")},
    "Ours_Root_Rollover": {"knows one root": (ONE_ROOT, "refused")},
    "Ours_Takeover": {"hurries": (HURRIES, "at least 1 s")},
    "Ours_Session_Expires_Offline": {"never subscribes": (MUTE, "never subscribed")},
    "Ours_Payload_128_KiB": {"dies of it": (NO_PUBACK, "did not reconnect")},
    "Ours_Payload_128_KiB_And_A_Byte": {"dies of it": (NO_PUBACK, "did not reconnect")},
    "Ours_Slow_Loris": {"says nothing meanwhile": (BLOCKS, "sent nothing while")},
    "Ours_Split_Packets": {"never sends PUBACK": (NO_PUBACK, "no PUBACK")},
    "Ours_Coalesced_Packets": {"never sends PUBACK": (NO_PUBACK, "no PUBACK")},
    "Ours_Renegotiation": {"does not come back": (NO_PUBACK, "never reconnected")},
    "Ours_Silent_Server": {
        "gives up for good": (GIVES_UP_TLS, "did not try again with TLS"),
        "speaks no TLS": (PLAIN_AGAIN, "did not try again with TLS"),
    },
    "Ours_No_Connack": {"gives up for good": (GIVES_UP, "did not try again with TLS")},
    "Ours_Malformed_Packet": {"does not come back": (NO_PUBACK, "never reconnected")},
    "Ours_Power_Cut": {"acknowledges nothing": (NO_PUBACK, "acknowledged no message")},
}
"""Case, defect: the client that has it, and what the evidence must say."""

ON_THE_BOARD = {
    "Ours_Clock_Unset": ("never asks for the time", "without querying the time", """
        import leaf.sync
        async def ensure(servers):
            pass
        leaf.sync.ensure = ensure
        """),
    "Ours_DNS_Change": ("keeps the first address", "never reconnected", """
        import socket
        real, known = socket.getaddrinfo, {}
        def remembered(host, *rest):
            known[host] = known.get(host) or real(host, *rest)
            return known[host]
        socket.getaddrinfo = remembered
        """),
}  # fmt: skip
"""Cases for a virtual board only: an application that takes something out of ``leaf``."""


@pytest.fixture(scope="module")
def chains() -> Chains:
    return Chains.mint(["localhost"])


def verdict(tmp_path: Path, chains: Chains, body: str, name: str) -> CaseVerdict:
    script = tmp_path / "client.py"
    script.write_text(CLIENT + textwrap.dedent(body))
    device = CommandDevice(f"{sys.executable} {script}", chains)
    try:
        (outcome,) = Runner(device, chains, settings=Settings(policies=[WIDE])).run(runner.select([name], None))
    finally:
        device.close()
    return outcome.verdict


@pytest.mark.parametrize(("name", "defect"), [(name, defect) for name, known in PROOFS.items() for defect in known])
def test_a_client_with_this_defect_fails(tmp_path: Path, chains: Chains, name: str, defect: str) -> None:
    body, words = PROOFS[name][defect]
    if name == "TLS_Large_Size_Server_Cert":
        body = SMALL_BUFFER % message_size(chains.good.size)
    found = verdict(tmp_path, chains, body, name)
    assert found.result is Result.FAIL, found.evidence
    assert words in found.evidence


@pytest.mark.parametrize("name", ON_THE_BOARD)
def test_a_board_with_this_defect_fails(tmp_path: Path, name: str) -> None:
    _, words, defect = ON_THE_BOARD[name]
    application = tmp_path / "main.py"
    application.write_text(textwrap.dedent(defect) + "from leaf import Device\nDevice().run()\n")
    chains = Chains.mint([HOST, "localhost"])
    flash, host, thing = devices.build_image(application, {})
    device = VirtualDevice(devices.with_roots(flash, chains), host, thing, name)
    try:
        (outcome,) = Runner(device, chains, speed=25).run(runner.select([name], None))
    finally:
        device.close()
    assert outcome.verdict.result is Result.FAIL, outcome.verdict.evidence
    assert words in outcome.verdict.evidence


def message_size(certificates: int) -> int:
    """Of a Certificate message of two: each has its length before it, and so has the list (RFC 5246 §7.4.2)."""
    return certificates + 3 * 3


def test_a_client_with_room_for_the_large_certificate_passes(tmp_path: Path, chains: Chains) -> None:
    """So that it is those 20% that the other one fails on."""
    body = SMALL_BUFFER % message_size(chains.large.size)
    found = verdict(tmp_path, chains, body, "TLS_Large_Size_Server_Cert")
    assert found.result is Result.PASS, found.evidence


def test_there_is_no_case_that_nobody_fails() -> None:
    assert {*PROOFS, *ON_THE_BOARD} == set(cases.catalogue())
