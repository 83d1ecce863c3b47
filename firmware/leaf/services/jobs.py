# Jobs that the cloud queues for the device, one after the other (AWS IoT: Jobs). What happens to one: job_work.py.
import json

from ..modules import use
from . import Service

TIMEOUT = 600  # seconds
AGAIN = 30  # seconds until what could not be said now is said again
_FILE = const("job.json")


class Rejected(Exception):
    """Raised by an operation that will not do a job: the job ends as REJECTED instead of FAILED."""


class Jobs(Service):
    """A job's document names its operation: {"operation": "blink", ...}.

    A job that has begun is written down, and so is its result: after a reboot the operation is called again with
    job.resumed, but never once it has ended.
    """

    answers = ("notify-next", "start-next/accepted", "start-next/rejected", "+/update/rejected")

    asking = False
    pause = 0  # seconds until anything may be sent
    running = None  # the Job
    waiting: tuple = ()  # (job's id, status, details), to be sent
    _sending: tuple = ()  # what is on its way

    def __init__(self, device):
        super().__init__(device, "jobs")
        self.operations = {}  # name -> (function, timeout)

    def operation(self, name, timeout=TIMEOUT):
        """Decorator: call the function (or coroutine function) with a Job; after so many seconds it is cancelled.

        It is cancelled after 500,000 s at the latest.

        What it returns, a dict or None, becomes the status details of SUCCEEDED; what it raises those of FAILED.
        """

        def register(function):
            self.operations[name] = (function, timeout)
            return function

        return register

    def bind(self, thing):
        super().bind(thing)
        self.last = use("state", "read", _FILE, {})

    def knows(self, answer):
        return answer in self.answers or answer.endswith("/update/rejected")

    def connected(self):
        self.ask()

    def next(self):
        if self.pause:
            return None
        if self.asking:
            self.asking = False
            return self.prefix + "start-next", b"{}", None
        if not self.waiting or self._sending:
            return None
        self._sending = said = self.waiting
        identifier, status, details = said

        def done(delivered):
            self._sending = ()
            if not delivered:
                self.pause = AGAIN
                return
            if self.waiting is said:
                self.waiting = ()
            if status != "IN_PROGRESS":
                self.ask()
            self.wake()

        return self.prefix + identifier + "/update", json.dumps({"status": status, "statusDetails": details}), done

    def on(self, answer, document):
        use("services.job_work", "on", self, answer, document)

    def tick(self):
        if self.pause:
            self.pause -= 1
            if not self.pause:
                self.wake()

    def ask(self):
        """Ask for the next job."""
        self.asking = True
        self.wake()

    def keep(self, run):
        """Write down how far a job is."""
        self.last = run
        use("state", "write", _FILE, run)
