"""Device Advisor's cases of shadows, jobs and policies."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from rootlet.advisor.cases.tls import why_no_connect
from rootlet.advisor.grading import CaseVerdict, failed, not_run, passed, warned
from rootlet.advisor.stage import Client, Stage, case
from rootlet.advisor.timeline import Event, Timeline
from rootlet.errors import BadInput
from rootlet.packets import Connect, Packet, Publish, Subscribe, filter_matches
from rootlet.policies.check import check, job_wildcards

SHADOW = re.compile(r"\$aws/things/(?P<thing>[^/]+)/shadow(?:/name/(?P<name>[^/]+))?/(?P<what>.+)")
JOBS = re.compile(r"\$aws/things/(?P<thing>[^/]+)/jobs/(?P<what>.+)")
JOB = "advisor-job"
FINISHED = ("SUCCEEDED", "FAILED", "REJECTED")
TOKEN = "DeviceAdvisorShadowTestCaseSetup"  # noqa: S105 - no password
"""The client token of Device Advisor's own updates."""
QUIET = 60
"""Seconds without a packet of a service after which the device counts as not using it."""


def reports_state(timeline: Timeline) -> CaseVerdict:
    unused = _unused(timeline, SHADOW, "shadow")
    if unused:
        return unused
    reports = [event for event in timeline.received(Publish) if _reported(timeline, event) is not None]
    if not reports:
        return failed("the device uses the shadow, and published no state.reported")
    wanted = timeline.settings.reported_state
    if wanted is not None:
        reports = [event for event in reports if _includes(_reported(timeline, event), wanted)]
        if not reports:
            return failed(f"REPORTED_STATE {json.dumps(wanted)[:80]} was not reported")
    return passed(f"{reports[0].at:.1f} s: {_topic(reports[0])} reports {json.dumps(_reported(timeline, reports[0]))[:120]}")


def follows_desired_state(timeline: Timeline) -> CaseVerdict:
    unused = _unused(timeline, SHADOW, "shadow")
    if unused:
        return unused
    deltas = [event for event in timeline.sent(Publish) if _topic(event).endswith("/update/delta")]
    if not deltas:
        return failed("the device never subscribed to its shadow's update/delta")
    assert isinstance(deltas[0].packet, Publish)
    wanted = json.loads(deltas[0].packet.payload)["state"]
    after = [event for event in timeline.received(Publish) if event.at > deltas[0].at and _reported(timeline, event)]
    for event in after:
        if _includes(_reported(timeline, event), wanted):
            return passed(f"desired {json.dumps(wanted)[:80]}: reported {event.at - deltas[0].at:.1f} s later")
    return failed(f"desired {json.dumps(wanted)[:80]} was not reported; {len(after)} reports have another state")


def finishes_job(timeline: Timeline) -> CaseVerdict:
    unused = _unused(timeline, JOBS, "jobs")
    if unused:
        return unused
    statuses = [status for event in timeline.received(Publish) if (status := _job_status(event))]
    if not statuses:
        return failed(f"the device uses jobs, and published no status of {JOB}")
    shown = " → ".join(statuses)
    if statuses[-1] == "SUCCEEDED":
        return passed(shown)
    return (warned if statuses[-1] in FINISHED else failed)(shown + ": the job was not done")


def least_privilege(timeline: Timeline) -> CaseVerdict:
    """The verdict on the device's policies, by Device Advisor's rules: no wildcards in actions and resources."""
    notes = [event for event in timeline.of("note") if "policy" in event.facts]
    if not notes:
        return not_run("the device's policy is not known: give it with --policy-file")
    try:
        found = [finding for note in notes for finding in check("the policy", note.facts["policy"])]
        jobs = [resource for note in notes for resource in job_wildcards("the policy", note.facts["policy"])]
    except BadInput as error:
        return failed(str(error))
    errors, warnings = (
        [each.what for each in found if each.wildcard and each.level == level] for level in ("error", "warning")
    )
    if errors:
        return failed("; ".join(errors))
    warnings += [f"{resource} has a wildcard: it stands for the ids of jobs, which nobody knows before" for resource in jobs]
    return warned("; ".join(warnings)) if warnings else passed("no wildcard")


@case("Shadow_Publish_Reported_State", "Reports its state to the shadow", reports_state, 22, timed=True,
      settings=("shadow_name", "reported_state"))  # fmt: skip
async def shadow_publish_reported_state(stage: Stage) -> None:
    """The server answers as the shadow service. A device that uses it must report its state after connecting."""
    client = await stage.connection()
    broker = Broker(client, stage)
    name, wanted = stage.settings.shadow_name, stage.settings.reported_state or {}
    await broker.until(lambda packet: _includes(reported_state(packet, name), wanted))


@case("Shadow_Update_Reported_State", "Follows the shadow's desired state", follows_desired_state, 23, timed=True,
      settings=("shadow_name", "desired_state"))  # fmt: skip
async def shadow_update_reported_state(stage: Stage) -> None:
    """A desired state differs from the reported one. A device that uses the shadow must report the desired state."""
    client = await stage.connection()
    broker, name = Broker(client, stage), stage.settings.shadow_name

    def deltas() -> list[str]:
        return [topic for topic in broker.subscribed if _shadow(topic, name) == "update/delta"]

    await broker.until(lambda _: bool(deltas()))
    if not deltas():
        return
    if stage.settings.desired_state is None:
        await broker.until(lambda packet: reported_state(packet, name) is not None)
    wanted = stage.settings.desired_state or _changed(broker.state)
    body = {"version": 2, "timestamp": 0, "state": wanted, "metadata": {}, "clientToken": TOKEN}
    await client.send(Publish(deltas()[0], json.dumps(body).encode(), 1, 501))
    await broker.until(lambda packet: _includes(reported_state(packet, name), wanted))


@case("Job_Execution", "Executes a job", finishes_job, 24, timed=True, settings=("job_document",))
async def job_execution(stage: Stage) -> None:
    """A job is queued. A device that uses jobs must execute it and report SUCCEEDED."""
    client = await stage.connection()
    broker = Broker(client, stage)
    await broker.until(lambda packet: _status_of(packet) in FINISHED)


@case("Security_Device_Policies", "Policies without wildcards", least_privilege, 25)
async def security_device_policies(stage: Stage) -> None:
    """The device's policy document is read. It must not allow more than the device's own topics."""
    for document in stage.settings.policies:
        stage.timeline.add("note", text="a policy of the device", policy=document)


class Broker:
    """Answers on the topics of shadow and jobs, as AWS IoT Core does."""

    def __init__(self, client: Client, stage: Stage) -> None:
        self._client, self._clock = client, stage.clock
        self._document = stage.settings.job_document or {"operation": "advisor"}
        self.subscribed: list[str] = []
        self.state: dict[str, Any] = {}
        self._identifier = 600

    async def until(self, done: Callable[[Packet], bool], timeout: float = QUIET) -> None:
        """Serve until ``done`` is true of a packet, or no packet of a service came for ``timeout`` seconds."""
        deadline = self._clock.now() + timeout
        while (packet := await self._client.any_packet((Publish, Subscribe), deadline - self._clock.now())) is not None:
            if isinstance(packet, Subscribe):
                self.subscribed += [name for name, _ in packet.filters]
                await self._announce(packet)
            elif isinstance(packet, Publish):
                await self._reply(packet)
            if done(packet):
                return
            if _topics(packet):
                deadline = self._clock.now() + timeout

    async def _announce(self, packet: Subscribe) -> None:
        for name, _ in packet.filters:
            found = JOBS.fullmatch(name)
            if found and found["what"] in ("notify-next", "notify"):
                await self._send(name, {"timestamp": 0, "execution": self._execution(found["thing"])})

    async def _reply(self, packet: Publish) -> None:
        try:
            body = json.loads(packet.payload or b"{}")
        except (ValueError, RecursionError):
            body = {}
        token = {"clientToken": body["clientToken"]} if isinstance(body, dict) and "clientToken" in body else {}
        shadow, job = SHADOW.fullmatch(packet.topic), JOBS.fullmatch(packet.topic)
        if shadow and shadow["what"] == "update":
            self.state |= reported_state(packet) or {}
            await self._send(packet.topic + "/accepted", {"state": body.get("state"), "version": 1, "timestamp": 0, **token})
        elif shadow and shadow["what"] == "get":
            await self._send(
                packet.topic + "/rejected", {"code": 404, "message": "No shadow exists", "timestamp": 0, **token}
            )
        elif job and job["what"] in ("start-next", "$next/get"):
            execution = self._execution(job["thing"], "IN_PROGRESS" if job["what"] == "start-next" else "QUEUED")
            await self._send(packet.topic + "/accepted", {"execution": execution, "timestamp": 0, **token})
        elif job and job["what"] == "get":
            queued = [{"jobId": JOB, "queuedAt": 0, "lastUpdatedAt": 0, "executionNumber": 1, "versionNumber": 1}]
            await self._send(packet.topic + "/accepted", {"queuedJobs": queued, "inProgressJobs": [], **token})
        elif job and job["what"].endswith("/get"):
            execution = self._execution(job["thing"])
            await self._send(packet.topic + "/accepted", {"execution": execution, "timestamp": 0, **token})
        elif job and job["what"].endswith("/update"):
            state = {"status": body.get("status"), "statusDetails": {}, "versionNumber": 2}
            await self._send(packet.topic + "/accepted", {"executionState": state, "timestamp": 0, **token})

    def _execution(self, thing: str, status: str = "QUEUED") -> dict[str, Any]:
        return {
            "jobId": JOB,
            "thingName": thing,
            "status": status,
            "queuedAt": 0,
            "lastUpdatedAt": 0,
            "versionNumber": 1,
            "executionNumber": 1,
            "jobDocument": self._document,
        }

    async def _send(self, topic: str, body: dict[str, Any]) -> None:
        if not any(filter_matches(name, topic) for name in self.subscribed):
            return  # AWS IoT answers all the same, and nobody hears it
        self._identifier += 1
        await self._client.send(Publish(topic, json.dumps(body).encode(), 1, self._identifier))


def reported_state(packet: Packet | None, name: str | None = None) -> dict[str, Any] | None:
    """The state that a PUBLISH reports to the shadow of that name, or to any; None for every other packet."""
    if not isinstance(packet, Publish) or _shadow(packet.topic, name) != "update":
        return None
    try:
        state = json.loads(packet.payload)["state"]["reported"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return state if isinstance(state, dict) else None


def _reported(timeline: Timeline, event: Event) -> dict[str, Any] | None:
    return reported_state(event.packet, timeline.settings.shadow_name)


def _shadow(topic: str, name: str | None) -> str | None:
    """What follows the shadow in a topic of the shadow of that name, or of any; None for other topics."""
    found = SHADOW.fullmatch(topic)
    return found["what"] if found and name in (None, found["name"]) else None


def _includes(state: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    return state is not None and all(key in state and state[key] == value for key, value in wanted.items())


def _unused(timeline: Timeline, topics: re.Pattern[str], name: str) -> CaseVerdict | None:
    if not timeline.received(Connect):
        return failed(why_no_connect(timeline))
    touched = [event for event in timeline.received(Publish) if topics.fullmatch(_topic(event))]
    asked = [
        topic
        for event in timeline.received(Subscribe)
        if isinstance(event.packet, Subscribe)
        for topic, _ in event.packet.filters
        if topics.fullmatch(topic)
    ]
    if touched or asked:
        return None
    return not_run(f"the device uses no topic of its {name} within {QUIET} s of connecting")


def _topics(packet: Packet) -> list[str]:
    """The topics of shadow and jobs in a packet."""
    named = [packet.topic] if isinstance(packet, Publish) else [n for n, _ in getattr(packet, "filters", ())]
    return [topic for topic in named if SHADOW.fullmatch(topic) or JOBS.fullmatch(topic)]


def _topic(event: Event) -> str:
    return event.packet.topic if isinstance(event.packet, Publish) else ""


def _status_of(packet: Packet | None) -> str | None:
    if not isinstance(packet, Publish) or not (found := JOBS.fullmatch(packet.topic)):
        return None
    if not found["what"].endswith("/update"):
        return None
    try:
        return str(json.loads(packet.payload)["status"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _job_status(event: Event) -> str | None:
    return _status_of(event.packet)


def _changed(state: dict[str, Any]) -> dict[str, Any]:
    """A desired state with one reported value changed."""
    for key, value in state.items():
        if isinstance(value, bool):
            return {key: not value}
        if isinstance(value, int | float):
            return {key: value + 1}
    return {"advisor": 1}
