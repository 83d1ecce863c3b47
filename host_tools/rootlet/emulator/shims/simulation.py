# A virtual board in simulated time: its clock stands still while the board computes and jumps ahead while it waits.
#
# Where to is for the conductor to say, a program on the host that plays the rest of the world: the board tells it over a
# socket how long it would wait, and hears at what time something happens. So weeks pass in seconds, and what a computer is
# busy with changes nothing. The watchdog, the clock's drift and deep sleep count in simulated time too.
#
# The board sends a letter and two numbers, the first the microseconds since power-on; each gets the answer of five below.
import struct
import sys

from laboratory import Over

_QUESTION = const("<Bqq")
_ANSWER = const("<qqqqq")
_ANSWER_SIZE = const(40)
_NEVER = const(1 << 60)
_POLL = const(3)  # MP_STREAM_POLL
_AHEAD = const(1 << 41)  # milliseconds
_CALL = const(20)  # microseconds that a look at the time takes, so that no loop that waits for a time is endless
_HANDSHAKE = const(400000)  # microseconds of the CPU; an ESP32 takes about twice as long
_GLANCE = const(100000)  # microseconds; who waits no longer looks again and again, which gets rarer after a while
_PATIENCE = const(20)  # such waits, in which the world sent nothing
_LOOK = const(500000)
_TICK = const(300000)  # microseconds; a wait as long as this is a task's pulse, which a stride may take together


class _State:
    now = 0  # microseconds since power-on
    until = 0  # nothing happens before, unless the board sends something
    stride = 0  # microseconds that a pulse may take while all is well
    radio = 0  # 0: the network is in reach; else the status of who tries to join it
    questions = 0
    glances = 0
    changed = True  # something may have been sent since the last one
    fed = None  # the watchdog, last
    timeout = 0  # the watchdog's, microseconds
    conductor = None
    clock = None  # machine's module `time`


def power_on(world):
    """Must come before anything imports time, select or asyncio."""
    import socket

    facts = world["simulation"]
    _State.radio = facts["radio"]
    _State.conductor = socket.socket()
    _State.conductor.connect(socket.getaddrinfo("127.0.0.1", facts["port"])[0][-1])
    sys.modules["select"] = _Select()
    sys.modules["time"] = _Time(facts)
    sys.modules["gc"] = _Collector()


def surround(world):
    """Put the simulation's part into the modules that stand for a chip."""
    import machine
    import network
    import trusted

    facts = world["simulation"]
    machine._cause = getattr(machine, facts["cause"] + "_RESET")
    machine.WDT = _Watchdog
    machine.deepsleep = _deepsleep
    machine.RTC = _rtc(machine)
    network.out = lambda: _State.radio != 0
    network.WLAN.connect = _joining(network.WLAN, network.WLAN.connect)
    trusted.SSLSocket.write = _writing(trusted.SSLSocket.write, facts["valid"])
    trusted.SSLSocket.close = _closing(trusted.SSLSocket.close)
    sys.modules["socket"] = _Sockets()


def _ask(letter, number):
    _State.conductor.write(struct.pack(_QUESTION, ord(letter), _State.now, number))
    answer = _State.conductor.read(_ANSWER_SIZE)
    if len(answer) < _ANSWER_SIZE:
        sys.exit(1)  # the conductor is gone
    _State.now, _State.until, _State.stride, _State.radio, cut = struct.unpack(_ANSWER, answer)
    _State.questions += 1
    _State.changed = False
    if cut:
        import esp32

        esp32._cut = cut


def _advance(wake, pulse=True):
    # Time goes on to `wake` at most, unless this is a pulse and all is well; less far where something happens before.
    short = pulse and wake - _State.now <= _GLANCE
    _State.glances = _State.glances + 1 if short and not _State.changed else 0
    if _State.glances > _PATIENCE:
        wake = max(wake, min(_State.now + _LOOK, _State.until))
    elif pulse and _State.stride and wake - _State.now >= _TICK:
        wake = max(wake, min(_State.now + _State.stride, _State.until))
    if _State.changed or wake >= _State.until:
        _ask("i", wake)
    else:
        _State.now = wake
    if _State.fed is not None and _State.now - _State.fed > _State.timeout:
        _ask("w", _State.timeout)  # no answer: the conductor resets the board


def _pass(microseconds):
    # The CPU is busy, or blocked, for so long.
    end = _State.now + microseconds
    while _State.now < end:
        _advance(end, False)


class _Collector(Over):
    """The module `gc`, which collects when the heap is full: a threshold would take most of the computer's time."""

    def __init__(self):
        import gc

        super().__init__(gc)

    def threshold(self, amount=-1):
        return amount


class _Time(Over):
    """The module `time`, for ticks.py to give it a chip's width; its clock has a crystal's drift."""

    def __init__(self, facts):
        import time

        super().__init__(time)
        self._clock = facts["clock"]
        self._drift = facts.get("drift", 0)  # millionths

    def time(self):
        return self._clock + (_State.now + _State.now // 1000000 * self._drift) // 1000000

    def time_ns(self):
        return self.time() * 1000000000

    def gmtime(self, seconds=None):
        return self._real.gmtime(self.time() if seconds is None else seconds)

    localtime = gmtime

    def ticks_ms(self):
        # asyncio's task queue, in C, stamps what is due at once with the host's ticks: ours are always ahead of them.
        _State.now += _CALL
        return _AHEAD + _State.now // 1000

    def ticks_us(self):
        _State.now += _CALL
        return _State.now

    ticks_cpu = ticks_us

    def sleep(self, seconds):
        _pass(int(seconds * 1000000))

    def sleep_ms(self, milliseconds):
        _pass(milliseconds * 1000)

    def sleep_us(self, microseconds):
        _pass(microseconds)


class _Select(Over):
    def __init__(self):
        import select

        super().__init__(select)

    def poll(self):
        return _Poll(self._real.poll())


class _Poll:
    def __init__(self, real):
        self._real = real
        self._quiet = None  # the question after which there was nothing to be found
        self._streams = {}  # of Python, by id: for their sake the host's poll would wait a millisecond of its own each time

    def register(self, stream, events=5):
        self._quiet = None
        if hasattr(stream, "ioctl"):
            self._streams[id(stream)] = stream, events
        else:
            self._real.register(stream, events)

    def modify(self, stream, events):
        self._quiet = None
        if id(stream) in self._streams:
            self._streams[id(stream)] = stream, events
        else:
            self._real.modify(stream, events)

    def unregister(self, stream):
        if not self._streams.pop(id(stream), None):
            self._real.unregister(stream)

    def poll(self, timeout=-1):
        found = self._ready()
        if found or timeout == 0:
            _State.now += _CALL
            return found
        end = _State.now + timeout * 1000 if timeout > 0 else _NEVER
        while _State.now < end and not found:
            _advance(end)
            found = self._ready()
        if found:
            _State.glances = 0
        return found

    def ipoll(self, timeout=-1, flags=0):
        return self.poll(timeout)

    def _ready(self):
        # The world sends something only where it is asked.
        if self._quiet == _State.questions and not _State.changed:
            return ()
        found = self._real.poll(0)
        for stream, events in self._streams.values():
            happened = stream.ioctl(_POLL, events)
            if happened:
                found.append((stream, happened))
        self._quiet = None if found else _State.questions
        return found


class _Sockets:
    """The module `socket`: the host's sockets, and the conductor's answers to DNS."""

    def __init__(self):
        import socket

        self._real = socket

    def getaddrinfo(self, host, port, *rest):
        import network

        if network.out():
            raise OSError(-202)  # EAI_FAIL of lwIP
        _State.conductor.write(struct.pack(_QUESTION, ord("d"), _State.now, len(host)) + host.encode())
        found = struct.unpack("<q", _State.conductor.read(8))[0]
        _ask("i", _State.now)
        if found <= 0:
            raise OSError(found)
        return self._real.getaddrinfo("127.0.0.1", found, *rest)

    def __getattr__(self, name):
        _State.changed = True
        return getattr(self._real, name)


class _Watchdog:
    def __init__(self, id=0, timeout=5000):
        _State.timeout = timeout * 1000
        self.feed()

    def feed(self):
        _State.fed = _State.now


def _deepsleep(milliseconds=0):
    _ask("s", milliseconds * 1000 or _NEVER)  # no answer: the conductor takes the power


def _rtc(machine):
    class RTC(machine.RTC):
        def datetime(self, when=None):
            found = super().datetime(when)
            if when is not None:
                import time

                _ask("r", time.time())
            return found

    return RTC


def _joining(station, connect):
    def join(self, ssid=None, key=None, *, bssid=None):
        connect(self, ssid, key)
        if _State.radio:
            station._status = _State.radio

    return join


def _writing(write, valid):
    # The host's Mbed TLS looks at the host's clock for the certificates' dates, a chip's at the board's.
    def checked(self, data):
        import time

        _State.changed = True
        if not self._shaken:
            _State.now += _HANDSHAKE // 4  # of four steps
            if time.time() < valid[0]:
                raise ValueError("The certificate validity starts in the future")
            if time.time() > valid[1]:
                raise ValueError("The certificate validity has expired")
        return write(self, data)

    return checked


def _closing(close):
    def closed(self):
        _State.changed = True
        close(self)

    return closed
