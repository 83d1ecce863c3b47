# What is done about a job. In RAM while one is received, run or refused.
import asyncio

from ..faults import Fault, report
from ..log import log
from ..modules import hold, release
from ..tasks import call
from .documents import part
from .jobs import AGAIN, Rejected

_LIMIT = const(500000)  # seconds; a wait in asyncio overflows at 6 days
_LONGEST = const(1024)  # characters of a detail (AWS IoT: statusDetails)
_BUSY = const(("InternalError", "RequestThrottled"))


class Job:
    """id and document as the cloud gave them. resumed: it had begun before a reboot, so part of it may be done."""

    def __init__(self, jobs, execution, resumed):
        self.id = execution["jobId"]
        self.document = part(execution, "jobDocument")
        self.resumed = resumed
        self._jobs = jobs

    def progress(self, details):
        """Tell the cloud how far it is: a dict, as the job's status details."""
        _say(self._jobs, self, "IN_PROGRESS", details)


def on(jobs, answer, document):
    """A document came on the topic that ends with answer."""
    execution = part(document, "execution")
    if answer == "notify-next":
        if execution and not jobs.running:
            jobs.ask()
    elif answer == "start-next/accepted":
        if isinstance(execution.get("jobId"), str) and not jobs.running and not jobs.waiting:
            _begin(jobs, execution)
    else:
        _refused(jobs, answer, document)


def _say(jobs, job, status, details):
    # Send a status, in place of an earlier one that is still waiting.
    if jobs.running is job:
        jobs.waiting = (job.id, status, texts(details))
        jobs.wake()


def _begin(jobs, execution):
    run = {"id": execution["jobId"], "number": execution.get("executionNumber")}
    last = jobs.last
    resumed = last.get("id") == run["id"] and last.get("number") == run["number"]
    job = jobs.running = Job(jobs, execution, resumed)
    if resumed and "status" in last:
        # It has ended; the cloud did not hear of it before power went.
        _say(jobs, job, last["status"], part(last, "details"))
        jobs.running = None
        return
    if not resumed:
        jobs.keep(run)
    log("jobs", "%s %s" % (job.id, "goes on" if resumed else "begins"))
    hold("services.job_work")
    asyncio.create_task(_execute(jobs, job))


async def _execute(jobs, job):
    name = job.document.get("operation")
    function, timeout = jobs.operations.get(name, (None, 0)) if isinstance(name, str) else (None, 0)
    try:
        if not function:
            raise Rejected("no such operation; known are " + ", ".join(sorted(jobs.operations)))
        status, details = "SUCCEEDED", texts(await asyncio.wait_for(call(function, job), min(timeout, _LIMIT)))
    except Rejected as error:
        status, details = "REJECTED", texts({"reason": error})
    except asyncio.TimeoutError:
        status, details = "FAILED", texts({"reason": "no end in %d s" % timeout})
    except Exception as error:
        status, details = "FAILED", texts({"reason": "%s: %s" % (type(error).__name__, error)})
    log("jobs", "%s %s" % (job.id, status))
    ended = dict(jobs.last)
    ended["status"], ended["details"] = status, details
    jobs.keep(ended)
    _say(jobs, job, status, details)
    jobs.running = None
    release("services.job_work")


def _refused(jobs, answer, document):
    # A job that was cancelled or timed out in the cloud has its status already: nothing is left to say of it.
    code, last = document.get("code"), jobs.last
    report(Fault("job-rejected", "%s: %s %s" % (answer, code, document.get("message"))))
    if code not in _BUSY:
        return
    jobs.pause = AGAIN
    if answer == "start-next/rejected":
        jobs.asking = True
    elif not jobs.waiting and "status" in last and answer.startswith("%s/" % last.get("id")):
        jobs.waiting = (last["id"], last["status"], part(last, "details"))


def texts(details):
    """Status details: AWS IoT takes texts only."""
    if not isinstance(details, dict):
        return {} if details is None else {"result": str(details)[:_LONGEST]}
    return {str(name): str(value)[:_LONGEST] for name, value in details.items()}
