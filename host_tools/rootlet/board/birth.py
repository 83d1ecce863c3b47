"""An identity whose key a board makes itself (``firmware/leaf/birth.py``): fetch its request, bring its certificate."""

import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.board.repl import Repl
from rootlet.errors import RootletError
from rootlet.pki.certificates import UNREADABLE
from rootlet.pki.identity import certificate_id, common_name

_CALL = """
import json
try:
    from leaf import birth
    from leaf.faults import Fault
    try:
        answer = {{"done": birth.{function}({argument})}}
    except Fault as fault:
        answer = {{"fault": fault.word, "cause": fault.cause}}
except ImportError as error:
    answer = {{"fault": "no-leaf", "cause": str(error)}}
print(json.dumps(answer))
"""
_HINTS: Mapping[str, str] = {
    "credentials": "look at what it has: rootlet info; if nobody needs it: rootlet erase",
    "key-mismatch": "bring the certificate of the request that this board made: rootlet device csr",
    "no-entropy": "take the board out of use: keys that it makes may be guessed",
    "no-leaf": "write an image of this version to the board: rootlet flash golden.bin --no-identity",
}


def request(board: Repl, thing: str) -> x509.CertificateSigningRequest:
    """The request of the key that the board made, or makes now. The same one until the board has a certificate.

    Raises RootletError where it has an identity already, or credentials that it did not make.
    """
    text = _call(board, "request", thing)
    try:
        found = x509.load_pem_x509_csr(text.encode())
        valid = found.is_signature_valid
    except UNREADABLE:
        valid = False
    if not valid:
        raise RootletError("what the board sent is not a request that its key signed", hint="run the command again")
    return found


def bring(board: Repl, certificate: x509.Certificate) -> dict[str, str]:
    """Give the board the certificate of its own key. Returns thing and certificate ID.

    Raises RootletError where the key on the board is not the certificate's. Interrupted, it can be repeated.
    """
    _call(board, "certified", certificate.public_bytes(Encoding.PEM).decode())
    return {"thing": common_name(certificate), "certificate_id": certificate_id(certificate)}


def _call(board: Repl, function: str, argument: str) -> str:
    printed = board.execute(_CALL.format(function=function, argument=repr(argument)))
    try:
        answer: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise RootletError("the board's answer cannot be read", hint="run the command again") from None
    if "fault" in answer:
        hint = _HINTS.get(answer["fault"], "see docs/troubleshooting.md")
        raise RootletError(f"the board on {board.port}: {answer['cause']}", hint=hint)
    return str(answer["done"])
