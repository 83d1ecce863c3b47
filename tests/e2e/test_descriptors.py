"""No connection that failed leaves a descriptor open: a chip has about ten sockets, and each attempt takes one."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.emulator.virtual_board import VirtualBoard
from rootlet.pki import certificates, keys
from rootlet.pki.authority import Authority
from support.chains import HOST, make_chain, named
from support.device import BuiltDevice
from support.impostor import Impostor
from support.wire import receive

ATTEMPTS = 200
APPLICATION = """
import leaf.backoff
import leaf.leave
import leaf.tls
from leaf import Device

kept = []

def no_memory(*arguments):
    kept.append(arguments)  # lest a garbage collection closes what leaf forgets to close
    raise MemoryError()

leaf.backoff.delay = lambda failures, random: 0
leaf.leave.start_over = lambda device: None  # it would close them all
%s
Device().run()
"""


def answering(data: bytes) -> Callable[[socket.socket, int], None]:
    """A server that answers CONNECT with these bytes and then hangs up."""

    def script(connection: socket.socket, _number: int) -> None:
        receive(connection)
        connection.sendall(data)

    return script


# One of each path through the code: a wrong host name or an expired certificate ends as an untrusted root does.
KINDS = (
    "tcp-refused",
    "no-tls",
    "alert",
    "untrusted-root",
    "hang-up",
    "refused",
    "lost",
    "no-memory-for-a-stream",
    "no-memory-for-hello",
)
LACKS = {
    "no-memory-for-a-stream": "leaf.tls.Stream = no_memory",
    "no-memory-for-hello": "import leaf.hello\nleaf.hello.say = no_memory",
}


@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_failures_of_a_kind_leave_no_descriptor_open(kind: str, tmp_path: Path, authority: Authority) -> None:
    chain = make_chain()
    root, application = tmp_path / "root.crt", tmp_path / "application.py"
    trusted = make_chain().root if kind == "untrusted-root" else chain.root
    root.write_bytes(trusted.public_bytes(Encoding.PEM))
    application.write_text(APPLICATION % LACKS.get(kind, ""))
    answer = {"refused": b"\x20\x02\x00\x05", "lost": b"\x20\x02\x00\x00"}.get(kind, b"")
    server = Impostor(chain.sent, chain.key, script=answering(answer))
    if kind == "no-tls":
        server = Impostor(None, greeting=b"220 smtp.example ESMTP\r\n")
    if kind == "alert":
        key = keys.generate()
        server = Impostor([certificates.root(named(HOST), key, days=30)], key)
    device = BuiltDevice(
        tmp_path,
        authority.issue("sensor-1"),
        {"endpoint": HOST, "port": 1 if kind == "tcp-refused" else server.port},
        root,
        {HOST: "127.0.0.1"},
        application,
    )
    with server, device.boot() as board:
        board.wait_for("before attempt 10$", 60)
        early = descriptors(board)
        board.wait_for(f"before attempt {10 + ATTEMPTS}$", 120)
        late = descriptors(board)
    assert any(re.search("fault: ", line) for line in board.lines)
    assert late - early <= 1, f"{early} descriptors after 10 failures, {late} after {ATTEMPTS} more"


def descriptors(board: VirtualBoard) -> int:
    assert board._process
    return len(list(Path(f"/proc/{board._process.pid}/fd").iterdir()))
