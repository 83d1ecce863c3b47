"""One self-contained HTML page about a run of the advisor, with a timeline of packets for each case."""

from collections.abc import Mapping, Sequence
from typing import Any

from rootlet.advisor import picture
from rootlet.advisor.picture import Event, describe
from rootlet.templates import environment

OUTPUT = 200
"""The number of lines shown of a device's output."""


def render(facts: Mapping[str, Any]) -> str:
    """The page for the result of ``report.facts``."""
    counts = ", ".join(f"{count} {result}" for result, count in facts["results"].items() if count)
    cases = [_case(case) for case in facts["cases"]]
    template = environment("rootlet.advisor").get_template("report.html")
    return template.render(facts=facts, counts=counts, cases=cases, size=picture.SIZE, px="{:.1f}".format)


def _case(case: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a case that the template shows."""
    events: Sequence[Event] = case["events"]
    speed = case["speed"]
    again = f" #{case['repetition'] + 1}" if case["repetition"] else ""
    return {
        "name": f"{case['id']}{again}",
        "anchor": f"{case['id']}-{case['repetition']}",
        "result": case["result"],
        "summary": case["summary"],
        "evidence": case["evidence"],
        "origin": f"Device Advisor's {case['number']}" if case["number"] else "Rootlet's own",
        "seconds": f"{case['seconds']:.1f}",
        "speed": f" · time ran {speed:g} times as fast: all times are the device's own" if speed != 1 else "",
        "picture": picture.draw(events) if any(event["connection"] for event in events) else None,
        "events": [(f"{event['at']:.3f}", event["connection"] or "", describe(event)) for event in events],
        "output": "\n".join(case["output"][-OUTPUT:]),
    }
