"""Exports of a batch, for customers, spreadsheets and AWS. All of it is from the ledger, which has no keys."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Literal

from rootlet.errors import BadInput
from rootlet.factory import views
from rootlet.factory.database import Database
from rootlet.factory.schema import AFTER_PROOF
from rootlet.factory.views import IdentityRow

Kind = Literal["csv", "json", "aws"]
_COLUMNS = ("thing", "serial", "batch", "customer", "state", "mac", "certificate_id", "trouble")


def render(database: Database, batch: str, kind: str, *, proved: bool = False, word: str = "") -> str:
    """The text of ``batch``'s manifest. ``proved`` omits identities without a proved board, as AWS's format always does.

    Raises BadInput for an unknown batch.
    """
    if not any(view.name == batch for view in views.batches(database)):
        raise BadInput(f"there is no batch {batch}", hint="list the batches: rootlet factory status")
    states = AFTER_PROOF if proved or kind == "aws" else ()
    lines = views.lines(database, batch, states=states, word=word)
    return {"csv": _csv, "json": _json, "aws": _aws}[kind](lines)


def _csv(lines: Iterator[IdentityRow]) -> str:
    found = list(lines)
    attributes = sorted({name for line in found for name in line.attributes})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*_COLUMNS, *attributes])
    for line in found:
        writer.writerow(
            [*(getattr(line, name) or "" for name in _COLUMNS), *(line.attributes.get(name, "") for name in attributes)]
        )
    return stream.getvalue()


def _json(lines: Iterator[IdentityRow]) -> str:
    return json.dumps([vars(line) for line in lines], indent=2) + "\n"


def _aws(lines: Iterator[IdentityRow]) -> str:
    """JSON Lines of template parameters (AWS IoT: bulk registration)."""
    texts = []
    for line in lines:
        parameters = {
            "ThingName": line.thing,
            "SerialNumber": line.serial or "",
            "CertificateId": line.certificate_id or "",
            "CertificatePem": line.certificate_pem or "",
        }
        texts.append(json.dumps({**parameters, **line.attributes}) + "\n")
    return "".join(texts)
