# Stands for the asyncio that ESP32 builds freeze, as much of it as leaf uses. The C module underneath (_asyncio: Task and
# TaskQueue) is the same, so that a task takes the heap that it takes on a chip.
import time
from _asyncio import Task, TaskQueue

import wire

cur_task = None  # the C code looks both up by these names
_task_queue = TaskQueue()
on_run = None  # told when asyncio.run() begins


class CancelledError(BaseException):
    pass


class TimeoutError(Exception):  # noqa: A001 - the name it has on a board
    pass


class _Sleep:
    # One for all, as in the real one: to sleep takes no heap.
    due = None

    def __iter__(self):
        return self

    def __next__(self):
        due, self.due = self.due, None
        if due is None:
            raise StopIteration
        _task_queue.push(cur_task, due)


_sleeper = _Sleep()


def sleep_ms(milliseconds):
    _sleeper.due = time.ticks_add(time.ticks_ms(), max(0, milliseconds))
    return _sleeper


def sleep(seconds):
    return sleep_ms(int(seconds * 1000))


def create_task(coroutine):
    task = Task(coroutine, globals())
    _task_queue.push(task)
    return task


def current_task():
    return cur_task


def get_event_loop():
    return _Loop


class _Loop:
    handler = None

    @classmethod
    def set_exception_handler(cls, handler):
        cls.handler = handler


def run(coroutine):
    global cur_task
    if on_run:
        on_run()
    main = create_task(coroutine)
    while True:
        task = cur_task = _due()
        thrown, task.data = task.data, None
        try:
            if thrown:
                task.coro.throw(thrown)
            else:
                task.coro.send(None)
        except StopIteration as end:
            if task is main:
                return end.value
            _ended(task, end)
        except (CancelledError, Exception) as error:
            if task is main:
                raise
            _ended(task, error)


def _due():
    # The next task whose time has come. Time is the host's: it passes while we sleep, and only then.
    while True:
        pause = wire.play()
        _streams.wake()
        task = _task_queue.peek()
        if task:
            wait = time.ticks_diff(task.ph_key, time.ticks_ms())
            if wait <= 0:
                return _task_queue.pop()
            pause = min(wait, pause)
        time.sleep_us(min(pause, 1000000) * 1000)  # sleep_ms would sleep in steps of half a millisecond


def _ended(task, result):
    waiters = task.state
    task.data = result
    if waiters is True:  # nobody waits for it
        task.state = None
        if not isinstance(result, (StopIteration, CancelledError)):
            print("a task that nobody waits for raised", repr(result))
            _Loop.handler(_Loop, {"exception": result})
        return
    task.state = False
    while waiters.peek():
        _task_queue.push(waiters.pop())


async def wait_for(awaitable, timeout):
    late = False
    task = awaitable if isinstance(awaitable, Task) else create_task(awaitable)

    async def ring():
        nonlocal late
        await sleep(timeout)
        late = True
        task.cancel()

    bell = create_task(ring())
    try:
        return await task
    except CancelledError:
        if late:
            raise TimeoutError
        raise
    finally:
        if not late:
            bell.cancel()


class Event:
    def __init__(self):
        self._set = False
        self._waiting = TaskQueue()

    def set(self):
        self._set = True
        while self._waiting.peek():
            _task_queue.push(self._waiting.pop())

    def clear(self):
        self._set = False

    def is_set(self):
        return self._set

    async def wait(self):
        if not self._set:
            self._waiting.push(cur_task)
            cur_task.data = self._waiting
            yield
        return True


class Lock:
    def __init__(self):
        self._held = False
        self._waiting = TaskQueue()

    async def __aenter__(self):
        while self._held:
            self._waiting.push(cur_task)
            cur_task.data = self._waiting
            yield
        self._held = True

    async def __aexit__(self, kind, error, trace):
        self._held = False
        if self._waiting.peek():
            _task_queue.push(self._waiting.pop())


class _Streams:
    def __init__(self):
        self._readers = {}  # stream -> its task

    def read(self, stream):
        self._readers[id(stream)] = (stream, cur_task)
        cur_task.data = self
        yield

    def remove(self, task):
        for key in list(self._readers):
            if self._readers[key][1] is task:
                del self._readers[key]

    def wake(self):
        for key in list(self._readers):
            stream, task = self._readers[key]
            if stream.readable():
                del self._readers[key]
                _task_queue.push(task)


_streams = _Streams()


class StreamReader:
    def __init__(self, stream, extra):
        self._stream = stream
        self._extra = extra
        self._out = b""

    def readinto(self, buffer):
        yield from _streams.read(self._stream)
        return self._stream.readinto(buffer)

    def write(self, data):
        self._stream.write(data)

    def drain(self):
        yield from sleep_ms(0)


StreamWriter = StreamReader
