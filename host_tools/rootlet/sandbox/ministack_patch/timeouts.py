"""Job executions that time out when they are due, and the notices to their things.

The step timer of a device has no effect on the in-progress timer of the job, and -1 cancels it (AWS IoT jobs data plane,
UpdateJobExecution). ministack lets the step timer win, ignores it over MQTT, and tells nobody that an execution timed out.
"""

import asyncio
import json
from contextvars import ContextVar
from typing import Any

MINUTE = 60  # seconds
_LOOK = 0.5  # seconds between two looks at the executions
_CANCEL = -1

_asked: ContextVar[int | None] = ContextVar("stepTimeoutInMinutes of an MQTT request", default=None)


def apply(iot: Any, minute: float) -> None:
    """``minute`` is how many seconds a minute of a timeout has: a test may not want to wait for a real one."""
    _take_step_timers(iot)
    time_out, of_job = iot._jobs_apply_timeout, iot._jobs_timeout_minutes

    def apply_timeout(execution: dict[str, Any]) -> dict[str, Any]:
        before = execution.get("status")
        after: dict[str, Any] = time_out(execution)
        if before != after.get("status"):
            notice = iot.jobs_notify_thing(iot.get_account_id(), iot.get_region(), after["thingName"], after["jobId"])
            asyncio.run_coroutine_threadsafe(notice, iot._mtls_loop)
        return after

    def timeout_minutes(execution: dict[str, Any], job: dict[str, Any] | None) -> float | None:
        """The real minutes from the start of the step timer, or else from the start of the execution."""
        step, whole = execution.get("stepTimeoutInMinutes"), of_job({**execution, "stepTimeoutInMinutes": None}, job)
        left = [] if step in (None, _CANCEL) else [step * minute / MINUTE]
        if whole is not None:
            begun = execution.get("startedAt") or 0
            passed = (execution.get("timeoutStartedAt") or begun) - begun  # milliseconds
            left.append(whole * minute / MINUTE - passed / 60_000)
        return min(left) or _CANCEL if left else None  # 0 would be no timeout to ministack; a negative one is over

    iot._jobs_apply_timeout, iot._jobs_timeout_minutes = apply_timeout, timeout_minutes


def _take_step_timers(iot: Any) -> None:
    handle, update, start_next = iot._handle_jobs_publish, iot.jobs_update_execution, iot.jobs_start_next_execution

    async def handle_publish(*request: Any) -> None:
        token = _asked.set(_step_of(request[-1]))
        try:
            await handle(*request)
        finally:
            _asked.reset(token)

    def update_execution(thing: str, job: str, *, step_timeout_minutes: int | None = None, **more: Any) -> Any:
        asked = step_timeout_minutes if step_timeout_minutes is not None else _asked.get()
        return update(thing, job, step_timeout_minutes=asked, **more)

    def start_next_execution(thing: str, *, peek: bool = False, **more: Any) -> Any:
        execution = start_next(thing, peek=peek, **more)
        if execution is None or peek or _asked.get() is None:
            return execution
        stored = iot._job_executions[thing, execution["jobId"]]
        stored |= {"stepTimeoutInMinutes": _asked.get(), "timeoutStartedAt": iot._jobs_now_ms()}
        return dict(stored)

    iot._handle_jobs_publish, iot.jobs_update_execution = handle_publish, update_execution
    iot.jobs_start_next_execution = start_next_execution


def _step_of(payload: bytes) -> int | None:
    try:
        asked = json.loads(payload)["stepTimeoutInMinutes"]
    except (ValueError, KeyError, TypeError):
        return None
    return asked if isinstance(asked, int) else None


async def watch(iot: Any) -> None:
    """Look for executions that are due, until cancelled."""
    while True:
        await asyncio.sleep(_LOOK)
        for (account, region, _), execution in list(iot._job_executions._data.items()):
            if execution.get("status") == "IN_PROGRESS":
                with iot.request_scope(account, region):
                    iot._jobs_apply_timeout(execution)
