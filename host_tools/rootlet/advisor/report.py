"""Reports of results: JSON with the whole timeline, and JUnit XML."""

import dataclasses
import platform
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from rootlet import __version__
from rootlet.advisor.grading import Result
from rootlet.advisor.runner import CaseResult
from rootlet.advisor.settings import Settings
from rootlet.advisor.timeline import Event
from rootlet.packets import Packet, name_of

PREVIEW = 80
"""The number of bytes shown of a payload."""


def facts(
    outcomes: Sequence[CaseResult], device: str, speed: float, seed: int, settings: Settings | None = None
) -> dict[str, Any]:
    """The results with their timelines, as JSON values. Times are seconds of the device's time."""
    return {
        "rootlet": __version__,
        "host": platform.platform(),
        "device": device,
        "speed": speed,
        "seed": seed,
        "settings": (settings or Settings()).given,
        "results": {result.value: sum(o.verdict.result is result for o in outcomes) for result in Result},
        "cases": [_outcome(outcome) for outcome in outcomes],
    }


def junit(outcomes: Sequence[CaseResult], device: str) -> bytes:
    """JUnit XML, one test case a result. A warning passes, with its evidence in system-out."""
    suite = ElementTree.Element(
        "testsuite",
        name="rootlet advisor",
        tests=str(len(outcomes)),
        failures=str(sum(outcome.verdict.result is Result.FAIL for outcome in outcomes)),
        skipped=str(sum(outcome.verdict.result is Result.NOT_RUN for outcome in outcomes)),
        errors="0",
        time=f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", name="device", value=_printable(device))
    for outcome in outcomes:
        name = outcome.case.id + (f" #{outcome.repetition + 1}" if outcome.repetition else "")
        element = ElementTree.SubElement(
            suite, "testcase", classname=f"advisor.{outcome.case.group}", name=name, time=f"{outcome.seconds:.3f}"
        )
        evidence = _printable(outcome.verdict.evidence)
        if outcome.verdict.result is Result.FAIL:
            ElementTree.SubElement(element, "failure", message=evidence)
        elif outcome.verdict.result is Result.NOT_RUN:
            ElementTree.SubElement(element, "skipped", message=evidence)
        else:
            ElementTree.SubElement(element, "system-out").text = f"{outcome.verdict.result}: {evidence}"
    document: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document


def _outcome(outcome: CaseResult) -> dict[str, Any]:
    case = outcome.case
    return {
        "id": case.id,
        "number": case.number,
        "title": case.title,
        "group": case.group,
        "summary": case.summary,
        "repetition": outcome.repetition,
        "result": outcome.verdict.result.value,
        "evidence": outcome.verdict.evidence,
        "speed": outcome.speed,
        "seconds": round(outcome.seconds, 3),
        "events": [_event(event) for event in outcome.events],
        "output": list(outcome.output),
    }


def _event(event: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": round(event.at, 3), "connection": event.connection, "kind": event.kind}
    if event.text:
        shown["text"] = event.text
    if event.packet is not None:
        shown["packet"] = name_of(event.packet)
        shown["fields"] = _fields(event.packet)
    return shown | event.facts


def _fields(packet: Packet) -> dict[str, Any]:
    fields: dict[str, Any] = dataclasses.asdict(packet)
    if "payload" in fields:
        fields["bytes"] = len(fields["payload"])
    if fields.get("password") is not None:
        fields["password"] = "(not shown)"  # noqa: S105 - that is the point
    return {key: _plain(value) for key, value in fields.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value[:PREVIEW].decode("utf-8", "replace") + ("…" if len(value) > PREVIEW else "")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _printable(text: str) -> str:
    # XML 1.0 cannot represent most control characters.
    return "".join(character if character.isprintable() else "�" for character in text)
