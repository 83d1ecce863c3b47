# Jobs that the cloud queues for the device, one after the other (AWS IoT: Jobs).
import asyncio
import json

from .. import state
from ..faults import Fault, report
from ..log import log
from ..tasks import call
from . import Service, part

TIMEOUT = 600  # seconds
_AGAIN = const(30)  # seconds until what the service was too busy for goes again
_FILE = const("job.json")
_LONGEST = const(1024)  # characters of a detail (AWS IoT: statusDetails)
_BUSY = ("InternalError", "RequestThrottled")


class Rejected(Exception):
    """Raised by an operation that will not do a job: the job ends as REJECTED instead of FAILED."""


class Job:
    """id and document as the cloud gave them. resumed: it had begun before a reboot, so part of it may be done."""

    def __init__(self, jobs, execution, resumed):
        self.id = execution["jobId"]
        self.document = part(execution, "jobDocument")
        self.resumed = resumed
        self._jobs = jobs

    def progress(self, details):
        """Tell the cloud how far it is: a dict, as the job's status details."""
        self._jobs.say(self, "IN_PROGRESS", details)


class Jobs(Service):
    """A job's document names its operation: {"operation": "blink", ...}.

    A job that has begun is written down, and so is its result: after a reboot the operation is called again with
    job.resumed, but never once it has ended.
    """

    answers = ("notify-next", "start-next/accepted", "start-next/rejected", "+/update/rejected")

    def __init__(self, device):
        super().__init__(device, "jobs")
        self._operations = {}
        self._running: "Job | None" = None
        self._asking = False
        self._sending: tuple = ()  # what is on its way
        self._pause = 0  # seconds until anything may be sent
        self._say: tuple = ()  # (job's id, status, details), to be sent

    def operation(self, name, timeout=TIMEOUT):
        """Decorator: call the function (or coroutine function) with a Job; after so many seconds it is cancelled.

        What it returns, a dict or None, becomes the status details of SUCCEEDED; what it raises those of FAILED.
        """

        def register(function):
            self._operations[name] = (function, timeout)
            return function

        return register

    def bind(self, thing):
        super().bind(thing)
        self._last = state.read(_FILE, {})

    def knows(self, answer):
        return answer in self.answers or answer.endswith("/update/rejected")

    def connected(self):
        self._ask()

    def next(self):
        if self._pause:
            return None
        if self._asking:
            self._asking = False
            return self.prefix + "start-next", b"{}", None
        if not self._say or self._sending:
            return None
        self._sending = said = self._say
        identifier, status, details = said

        def done(delivered):
            self._sending = ()
            if self._say is said:
                self._say = ()
            if status != "IN_PROGRESS":
                self._ask()
            self._device.wake()

        return self.prefix + identifier + "/update", json.dumps({"status": status, "statusDetails": details}), done

    def on(self, answer, document):
        execution = part(document, "execution")
        if answer == "notify-next":
            if execution and not self._running:
                self._ask()
        elif answer == "start-next/accepted":
            if isinstance(execution.get("jobId"), str) and not self._running and not self._say:
                self._begin(execution)
        else:
            self._refused(answer, document)

    def tick(self):
        if self._pause:
            self._pause -= 1
            if not self._pause:
                self._device.wake()

    def say(self, job, status, details):
        """Send a status, in place of an earlier one that is still waiting."""
        running = self._running
        if running and running is job:
            self._say = (running.id, status, texts(details))
            self._device.wake()

    def _ask(self):
        self._asking = True
        self._device.wake()

    def _begin(self, execution):
        run = {"id": execution["jobId"], "number": execution.get("executionNumber")}
        resumed = self._last.get("id") == run["id"] and self._last.get("number") == run["number"]
        job = self._running = Job(self, execution, resumed)
        if resumed and "status" in self._last:
            # It has ended; the cloud did not hear of it before power went.
            self.say(job, self._last["status"], part(self._last, "details"))
            self._running = None
            return
        if not resumed:
            self._last = run
            state.write(_FILE, run)
        log("jobs", "%s %s" % (job.id, "goes on" if resumed else "begins"))
        asyncio.create_task(self._execute(job))

    async def _execute(self, job):
        name = job.document.get("operation")
        function, timeout = self._operations.get(name, (None, 0)) if isinstance(name, str) else (None, 0)
        try:
            if not function:
                raise Rejected("no such operation; known are " + ", ".join(sorted(self._operations)))
            status, details = "SUCCEEDED", texts(await asyncio.wait_for(call(function, job), timeout))
        except Rejected as error:
            status, details = "REJECTED", texts({"reason": error})
        except asyncio.TimeoutError:
            status, details = "FAILED", texts({"reason": "no end in %d s" % timeout})
        except Exception as error:
            status, details = "FAILED", texts({"reason": "%s: %s" % (type(error).__name__, error)})
        log("jobs", "%s %s" % (job.id, status))
        self._last = dict(self._last)
        self._last["status"], self._last["details"] = status, details
        state.write(_FILE, self._last)
        self.say(job, status, details)
        self._running = None

    def _refused(self, answer, document):
        # A job that was cancelled or timed out in the cloud has its status already: nothing is left to say of it.
        code = document.get("code")
        report(Fault("job-rejected", "%s: %s %s" % (answer, code, document.get("message"))))
        if code not in _BUSY:
            return
        self._pause = _AGAIN
        if answer == "start-next/rejected":
            self._asking = True
        elif not self._say and "status" in self._last and answer.startswith(self._last["id"] + "/"):
            self._say = (self._last["id"], self._last["status"], part(self._last, "details"))


def texts(details):
    """Status details: AWS IoT takes texts only."""
    if not isinstance(details, dict):
        return {} if details is None else {"result": str(details)[:_LONGEST]}
    return {str(name): str(value)[:_LONGEST] for name, value in details.items()}
