"""The root stores of browsers, from the files in which they are published: which roots they trust, and until when.

- a PEM bundle, such as certifi's, which is Mozilla's store, or Chromium's ``root_store.certs``
- Chromium's ``net/data/ssl/chrome_root_store/root_store.textproto``
- Mozilla's ``certdata.txt``, and the CSV reports of CCADB about Mozilla's roots
"""

import csv
import datetime as dt
import hashlib
import io
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.trust.model import Certificate, readable

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_TOKENS = re.compile(r'#[^\n]*|"(?:\\.|[^"\\])*"|[{}]|[\w.+-]+|:')
_FINGERPRINT, _AFTER, _BITS = "SHA-256 Fingerprint", "Distrust for TLS After Date", "Trust Bits"


@dataclass(frozen=True)
class StoredRoot:
    """A root in a store. ``certificate`` is None where the store gives its fingerprint only.

    ``for_servers``: it may end a server's chain. ``distrust_after``: what it issued later is not trusted.
    """

    name: str
    sha256: str
    certificate: Certificate | None = None
    for_servers: bool = True
    distrust_after: dt.datetime | None = None


@dataclass(frozen=True)
class RootStore:
    """A store, and its roots by fingerprint."""

    name: str
    roots: Mapping[str, StoredRoot]


def read(path: Path, name: str | None = None) -> RootStore:
    """The store in a file of one of the formats above. Raises BadInput."""
    text = read_input(path, "root store").decode("utf-8", "replace")
    try:
        found = list(_parsed(text))
    except ValueError:  # a damaged certificate or date
        found = []
    if not found:
        raise BadInput(
            f"{path} is not a root store that is known here",
            hint="give a PEM bundle, Chromium's root_store.textproto, Mozilla's certdata.txt, or a report of CCADB",
        )
    return RootStore(name or path.name, {root.sha256: root for root in found})


def _parsed(text: str) -> Iterator[StoredRoot]:
    if re.search(r"^trust_anchors\b", text, re.MULTILINE):
        return _chromium(text)
    if re.search(r"^CKA_CLASS\b", text, re.MULTILINE):
        return _certdata(text)
    if _FINGERPRINT in text.partition("\n")[0]:
        return _ccadb(text)
    ders = (ssl.PEM_cert_to_DER_cert(block) for block in _PEM.findall(text))
    return (_stored(der) for der in ders if der)


def _stored(der: bytes, **more: Any) -> StoredRoot:
    parsed = next(iter(readable([der])), None)
    name = more.pop("name", "") or (parsed.subject if parsed else "(unreadable)")
    return StoredRoot(name, hashlib.sha256(der).hexdigest(), parsed, **more)


def _chromium(text: str) -> Iterator[StoredRoot]:
    tokens = _TOKENS.findall(text)
    comment, at = "", 0
    while at < len(tokens):
        token = tokens[at]
        if token.startswith("#"):
            comment = token.lstrip("# ")
        elif tokens[at + 1 : at + 2] == ["{"] or tokens[at + 1 : at + 3] == [":", "{"]:
            message, at = _message(tokens, tokens.index("{", at) + 1)
            anchor = token == "trust_anchors" or message.get("tls_trust_anchor") == ["true"]  # noqa: S105 - of a text
            if anchor and message.get("sha256_hex"):
                after = _until(message.get("constraints", []))
                yield StoredRoot(comment, str(message["sha256_hex"][0]).lower(), distrust_after=after)
            continue
        at += 1


def _message(tokens: list[str], at: int) -> tuple[dict[str, list[Any]], int]:
    """A message of the text format of protocol buffers: the values of each field, and where its closing brace is past."""
    fields: dict[str, list[Any]] = {}
    name = ""
    while at < len(tokens) and tokens[at] != "}":
        token = tokens[at]
        if token == "{":  # noqa: S105 - of a text
            inner, at = _message(tokens, at + 1)
            fields.setdefault(name, []).append(inner)
            continue
        if token == ":" and tokens[at + 1 : at + 2] != ["{"]:  # noqa: S105 - of a text
            fields.setdefault(name, []).append(tokens[at + 1].strip('"') if at + 1 < len(tokens) else "")
            at += 1
        elif token != ":" and not token.startswith("#"):  # noqa: S105 - of a text
            name = token
        at += 1
    return fields, at + 1


def _until(constraints: list[dict[str, list[str]]]) -> dt.datetime | None:
    """The date of a root's constraints; None where one set of them has none. Sets for older versions do not count."""
    today = [one for one in constraints if "max_version_exclusive" not in one]
    dates = [one["sct_not_after_sec"][0] for one in today if "sct_not_after_sec" in one]
    if not dates or len(dates) < len(today):
        return None
    return dt.datetime.fromtimestamp(max(map(int, dates)), dt.UTC)


def _certdata(text: str) -> Iterator[StoredRoot]:
    objects = list(_objects(text))
    trust = {_which(one): one for one in objects if one.get("CKA_CLASS") in ("CKO_NSS_TRUST", "CKO_TRUST")}
    for one in objects:
        if one.get("CKA_CLASS") == "CKO_CERTIFICATE" and isinstance(one.get("CKA_VALUE"), bytes):
            about = trust.get(_which(one), {})
            dates = [entry.get("CKA_NSS_SERVER_DISTRUST_AFTER") for entry in (one, about)]
            after = next((value for value in dates if isinstance(value, bytes)), None)
            yield _stored(
                one["CKA_VALUE"],
                for_servers=str(about.get("CKA_TRUST_SERVER_AUTH", "")).endswith(("TRUSTED_DELEGATOR", "TRUST_ANCHOR")),
                distrust_after=after and dt.datetime.strptime(after.decode(), "%y%m%d%H%M%SZ").replace(tzinfo=dt.UTC),
            )


def _which(one: Mapping[str, Any]) -> tuple[Any, Any]:
    """What a certificate and the object about its trust have in common."""
    return one.get("CKA_ISSUER"), one.get("CKA_SERIAL_NUMBER")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    one: dict[str, Any] = {}
    lines = iter(text.splitlines())
    for line in lines:
        words = line.split(None, 2)
        if not words or not words[0].startswith("CKA_"):
            continue
        if words[0] == "CKA_CLASS" and one:
            yield one
            one = {}
        if words[1:2] == ["MULTILINE_OCTAL"]:
            octal = "".join(iter(lambda: next(lines, "END").strip(), "END"))
            one[words[0]] = bytes(int(digits, 8) for digits in re.findall(r"\\([0-7]{3})", octal))
        else:
            one[words[0]] = words[-1]
    if one:
        yield one


def _ccadb(text: str) -> Iterator[StoredRoot]:
    for row in csv.DictReader(io.StringIO(text.lstrip("\ufeff"))):
        blocks = _PEM.findall(row.get("PEM Info") or "")
        after = (row.get(_AFTER) or "").strip()
        yield StoredRoot(
            row.get("Common Name or Certificate Name") or "",
            (row[_FINGERPRINT] or "").replace(":", "").lower(),
            next(iter(readable([ssl.PEM_cert_to_DER_cert(blocks[0])])), None) if blocks else None,
            "Websites" in (row.get(_BITS) or "Websites"),
            dt.datetime.strptime(after, "%Y.%m.%d").replace(tzinfo=dt.UTC) if after else None,
        )
