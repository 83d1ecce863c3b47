"""What is done to a device in its months: each trouble a generator that waits by yielding seconds of simulated time.

Each names the fault words that the device may say of it, and those that it must.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from campaign.months import damage
from campaign.months.events import HOUR, SECOND
from campaign.months.life import UNSET, Life, Trouble, calm

Steps = Iterator[float]
CUT = frozenset({"connection-lost", "policy-denied", "taken-over", "device-certificate-refused"})
"""What an end of the connection may be taken for: on the wire they look alike (docs/firmware.md)."""
HANGING = CUT | {"keep-alive", "tls-no-tls", "tcp", "protocol"}
CLOCK = frozenset({"clock-unset", "tls-expired", "tls-not-yet-valid"})
NO_CLOCK = frozenset({"clock-unset"})
"""Where NTP is out of reach too, a board that has lost its clock says so first."""
_PASSWORD, _FAR, _REFUSED = frozenset({"wifi-password"}), frozenset({"wifi-not-found"}), frozenset({"wifi-refused"})
WIFI = {
    **dict.fromkeys((2, 15, 202, 204, 205), _PASSWORD),
    **dict.fromkeys((200, 201), _FAR),
    **dict.fromkeys((5, 203), _REFUSED),
}
"""The status of who tries to join, by the driver's reasons (esp_wifi_types.h), and what it means."""


@dataclass(frozen=True)
class Kind:
    run: Callable[[Life, Trouble], Steps]
    allowed: frozenset[str] = frozenset()
    weight: int = 2
    online: bool = False
    """It needs a device that is connected when it begins."""
    solitary: bool = False
    """No other trouble may begin meanwhile."""
    subtle: bool = False
    """A device that is online stays so, as a rule: its pulses may go in strides."""


def _long(life: Life, least: float, median: float, most: float) -> float:
    """Seconds, most of them around the median."""
    return min(most, max(least, life.random.lognormvariate(math.log(median), 1)))


def cut(life: Life, trouble: Trouble) -> Steps:
    life.network.cut()
    yield 0


def stall(life: Life, trouble: Trouble) -> Steps:
    life.network.stalled = True
    yield _long(life, 1, 120, 3600)
    if life.random.random() < 0.5:
        life.network.cut()
    calm(life.network)


def slow(life: Life, trouble: Trouble) -> Steps:
    life.network.latency = life.random.uniform(0.5, 8)
    life.network.fragment = life.random.choice([0, 0, 7, 100])
    if life.random.random() < 0.7:
        life.network.cut()
    yield _long(life, 300, 1800, 3 * 3600)
    calm(life.network)


def down(life: Life, trouble: Trouble) -> Steps:
    life.network.route = life.random.choice(["refused", "deaf"])
    life.network.cut()
    yield (lasting := _long(life, 60, 1200, 3 * 3600))
    if lasting > 300 and life.uptime > lasting * SECOND:
        trouble.required = frozenset({"tcp"})
    calm(life.network)


def dns(life: Life, trouble: Trouble) -> Steps:
    life.network.dns_fails, life.network.dns_delay = True, life.random.choice([0.0, 14.0])
    life.network.cut()
    yield (lasting := _long(life, 60, 1200, 3 * 3600))
    if lasting > 300 and life.uptime > lasting * SECOND:
        trouble.required = frozenset({"dns"})
    calm(life.network)


def radio(life: Life, trouble: Trouble) -> Steps:
    status = life.random.choice(list(WIFI))
    life.network.radio = status
    trouble.allowed |= WIFI[status]
    life.say(f"status {status}")
    yield (lasting := _long(life, 60, 1200, 3 * 3600))
    if lasting > 300 and life.uptime > lasting * SECOND:
        trouble.required = WIFI[status]
    calm(life.network)


def silent(life: Life, trouble: Trouble) -> Steps:
    life.broker.behaviour.mute = life.random.choice(["all", "accepted"])
    if life.random.random() < 0.3:
        life.network.cut()
    lasting = _long(life, 60, 1200, 2 * 3600)
    online = life.online()
    yield lasting
    if online and lasting > 2 * life.keep_alive + 120 and life.uptime > lasting * SECOND:
        trouble.required = frozenset({"keep-alive", "protocol"})
    life.broker.behaviour.mute = ""
    if life.random.random() < 0.5:
        life.network.cut()


def short_links(life: Life, trouble: Trouble) -> Steps:
    life.broker.behaviour.lifetime = life.random.uniform(0.3, 4)
    life.network.cut()
    yield _long(life, 300, 1200, 5400)
    life.broker.behaviour.lifetime = None


def suback_withheld(life: Life, trouble: Trouble) -> Steps:
    life.broker.behaviour.suback = life.random.choice(["withheld", "empty"])
    life.say(f"SUBACK {life.broker.behaviour.suback}")
    steal(life)
    lasting = _long(life, 600, 1200, 2 * 3600)
    yield lasting
    if lasting > 2 * life.keep_alive + 300 and life.uptime > lasting * SECOND:
        trouble.required = frozenset({"protocol"})
    life.broker.behaviour.suback = ""


def steal(life: Life) -> None:
    session = life.broker.session
    if session:
        for message in session.unacknowledged.values():
            life.excuses.messages.add(message.payload.decode(errors="replace"))
    life.broker.steal()


def thief(life: Life, trouble: Trouble) -> Steps:
    for _ in range(life.random.choice([1, 1, 3])):
        steal(life)
        yield life.random.uniform(5, 120)


def deactivated(life: Life, trouble: Trouble) -> Steps:
    life.broker.behaviour.rejects = True
    life.network.cut()
    yield (lasting := _long(life, 60, 1200, 3 * 3600))
    if lasting > 300 and life.uptime > lasting * SECOND:
        trouble.required = frozenset({"device-certificate-refused"})
    life.broker.behaviour.rejects = False


def denied(life: Life, trouble: Trouble) -> Steps:
    life.broker.behaviour.denied = "/meter"
    yield (lasting := _long(life, 1800, 3600, 4 * 3600))
    if lasting > 2 * 3600 and life.uptime > lasting * SECOND:
        trouble.required = frozenset({"policy-denied"})
    life.broker.behaviour.denied = ""


def lying_time(life: Life, trouble: Trouble) -> Steps:
    trouble.lasting = 26 * HOUR  # until the servers are asked again
    away = life.random.choice([-1, 1]) * 10 ** life.random.uniform(1, 8.4)  # seconds: to eight years
    choices: list[Callable[[float], float | None]] = [
        lambda now: now + away,
        lambda now: now - 2 * away,
        lambda _: UNSET - 86400,
        lambda _: 4_090_000_000,
        lambda _: None,
    ]
    lies = life.random.sample(choices, 2)
    who = life.random.choice(["first", "both", "agreed"])
    life.say(f"{who} lying, {away:.0f} s off")
    first, second = life.network.servers.values()
    first.says = lies[0]
    if who != "first":
        second.says = lies[1] if who == "both" else lies[0]
    if life.random.random() < 0.7:
        life.cut_power(life.random.uniform(1, 60))
    yield _long(life, 600, 3 * 3600, 12 * 3600)
    first.says = second.says = lambda now: now


def power(life: Life, trouble: Trouble) -> Steps:
    for _ in range(life.random.choice([1, 1, 2, 5])):
        off = _long(life, 1, 60, 3600)
        life.cut_power(off)
        yield off + life.random.uniform(0.1, 200)


def power_in_flash(life: Life, trouble: Trouble) -> Steps:
    for _ in range(life.random.choice([1, 3])):
        life.cut = life.random.randint(1, 60)
        life.network.cut()  # there is something to be written
        yield 900
    if life.running:
        life.cut_power(1)


def damaged(life: Life, trouble: Trouble) -> Steps:
    if life.random.random() < 0.6:  # something lies in the outbox
        life.network.route = "deaf"
        life.network.cut()
        trouble.allowed |= {"tcp"} | CUT
        yield life.random.uniform(1, 4) * 3600
    life.stop("power")
    damage.draw(life)
    life.cut_power(1)
    yield 600
    calm(life.network)


def hung(life: Life, trouble: Trouble) -> Steps:
    for _ in range(life.random.randint(4, 6)):
        life.command("hang")
    yield 5
    status = life.command("leaf.status")
    yield 60
    _answered(life, status, "leaf.status beside hung commands")
    yield from _restarted(life, "beside hung commands")


def restart(life: Life, trouble: Trouble) -> Steps:
    yield from _restarted(life, "")


def _restarted(life: Life, when: str) -> Steps:
    boots = len(life.boots)
    life.command("leaf.restart")
    yield 60
    if len(life.boots) == boots:
        life.problems.append(f"leaf.restart {when} did not restart the board on day {life.day()}")
        life.cut_power(1)
        yield 1


def _answered(life: Life, identifier: str, what: str) -> None:
    answers = list(life.answers(identifier))
    if not answers or answers[0]["status"] != "ok":
        life.problems.append(f"{what} got {answers[:1] or 'no answer'} on day {life.day()}")


def blocked(life: Life, trouble: Trouble) -> Steps:
    boots = len(life.boots)
    life.command("block")
    yield 600
    if len(life.boots) == boots:
        life.problems.append(f"no watchdog ended an application that blocks on day {life.day()}")
        life.cut_power(1)
        yield 1


def override(life: Life, trouble: Trouble) -> Steps:
    wrong = f"wrong-{life.random.getrandbits(16)}.iot.eu-west-1.localhost"
    if life.random.random() < 0.5:
        life.network.names.add(wrong)  # another's endpoint: the certificate is not for this name
    trouble.allowed |= {"dns", "tls-hostname"}
    life.command("override", {"endpoint": wrong})
    yield 10
    yield from _restarted(life, "after an override")
    yield OVERRIDE


OVERRIDE = 2 * 3600
"""Seconds after which a device has given a wrong endpoint up."""


def dozing(life: Life, trouble: Trouble) -> Steps:
    times, awake = life.random.randint(2, 8), life.random.choice([60, 120, 300])
    asleep = round(_long(life, 600, 3 * 3600, 12 * 3600))
    since = life.events.now
    life.command("doze", [times, awake, asleep])
    for _ in range(times + 2):
        yield awake + asleep
        if len(life.said("ASLEEP", since)) >= times and life.running:
            return
    yield asleep


def wildcard(life: Life, trouble: Trouble) -> Steps:
    life.message("fleet/weather/tips")
    yield 60


def slow_handler(life: Life, trouble: Trouble) -> Steps:
    for _ in range(life.random.choice([1, 3])):
        life.message("fleet/slow")
    yield 400


def clock_set_back(life: Life, trouble: Trouble) -> Steps:
    life.command("clock")
    yield life.random.uniform(60, 3600)


def odd_readings(life: Life, trouble: Trouble) -> Steps:
    life.command("odd")
    yield 60


def hostile_topic(life: Life, trouble: Trouble) -> Steps:
    if life.broker.client:
        life.broker.client.send(b"\x30\x06\x00\x03a\xff\xfe!")
    yield 60


KINDS = {
    "cut": Kind(cut, CUT | {"tls-no-tls"}),
    "stall": Kind(stall, HANGING | NO_CLOCK),
    "slow": Kind(slow, HANGING | NO_CLOCK, 3),
    "down": Kind(down, CUT | {"tcp", "tls-no-tls"}),
    "dns": Kind(dns, CUT | {"dns", "tls-no-tls"} | NO_CLOCK),
    "radio": Kind(radio, CUT | {"wifi-lost"}),
    "silent": Kind(silent, HANGING, 4),
    "short links": Kind(short_links, CUT | {"tls-no-tls"}, 4),
    "SUBACK withheld": Kind(suback_withheld, CUT | {"keep-alive", "protocol"}, 3),
    "thief": Kind(thief, CUT),
    "deactivated": Kind(deactivated, CUT | {"tls-no-tls"}),
    "denied": Kind(denied, CUT, 2, online=True, subtle=True),
    "lying NTP": Kind(lying_time, CLOCK, 4, subtle=True),
    "power": Kind(power),
    "power in flash": Kind(power_in_flash, CUT),
    "damaged files": Kind(damaged, frozenset({"storage"}), 5),
    "wildcard": Kind(wildcard, weight=1, online=True),
    "slow handler": Kind(slow_handler, frozenset({"handler-slow"}), 3, online=True),
    "hung handlers": Kind(hung, weight=3, online=True, solitary=True),
    "restart": Kind(restart, weight=1, online=True, solitary=True),
    "blocked": Kind(blocked, weight=1, online=True, solitary=True),
    "wrong override": Kind(override, weight=3, online=True, solitary=True),
    "deep sleep": Kind(dozing, weight=4, online=True, solitary=True, subtle=True),
    "clock set back": Kind(clock_set_back, CLOCK, 1, online=True),
    "odd readings": Kind(odd_readings, weight=1, online=True),
    "hostile topic": Kind(hostile_topic, CUT | {"protocol"}, 1, online=True),
}
