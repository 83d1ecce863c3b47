"""The parts that a case uses (device, endpoint, clock), and the declaration of cases."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rootlet.advisor.chains import Chains
from rootlet.advisor.client import Behaviour, Client, Clock, Timeout
from rootlet.advisor.devices import DeviceUnderTest, Environment
from rootlet.advisor.endpoint import Endpoint
from rootlet.advisor.grading import Grade
from rootlet.advisor.settings import EXECUTION_TIMEOUT, Settings
from rootlet.advisor.sntp import TimeServer
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connect, Subscribe, filter_matches

PATIENCE = 120
"""Seconds in which a device must connect, since it may be waiting."""


class NotRun(Exception):  # noqa: N818 - reads as what it is
    """The case cannot be run with this device; the text is the reason."""


@dataclass
class Stage:
    """One run of one case. All times are seconds of the device's time."""

    device: DeviceUnderTest
    endpoint: Endpoint
    timeline: Timeline
    clock: Clock
    chains: Chains
    time_server: TimeServer
    environment: Environment
    settings: Settings

    async def attempt(self, behaviour: Behaviour | None = None, timeout: float = PATIENCE) -> Client:
        """The device's next TCP connection, after its handshake succeeded or failed. Raises Timeout."""
        client = await self.endpoint.take(behaviour, timeout)
        await client.handshake()
        return client

    async def connection(self, behaviour: Behaviour | None = None, timeout: float = PATIENCE) -> Client:
        """The device's next connection, after its CONNECT. Raises Timeout."""
        client = await self.attempt(behaviour, timeout)
        await client.packet(Connect)
        return client

    async def subscribed(self, client: Client, timeout: float = 60) -> str:
        """TRIGGER_TOPIC, once the device has subscribed to it, or a topic that its first filter matches. Raises Timeout."""
        trigger = self.settings.trigger_topic
        if trigger is not None:
            await client.packet(Subscribe, lambda packet: subscribes_to(packet, trigger), timeout)
            return trigger
        packet = await client.packet(Subscribe, timeout=timeout)
        return "/".join("advisor" if level in "+#" and level else level for level in packet.filters[0][0].split("/"))

    async def pause(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def power_cycle(self) -> None:
        """Cut the device's power and restore it. Raises NotRun where that is not possible."""
        self.note("power off and on")
        if not await asyncio.to_thread(self.device.restart, self.environment):
            self.not_run("the device's power cannot be switched")

    def note(self, text: str, connection: int = 0) -> None:
        self.timeline.add("note", connection, text)

    def not_run(self, why: str) -> NoReturn:
        raise NotRun(why)


def subscribes_to(packet: Subscribe, topic: str) -> bool:
    """Whether one of its filters matches ``topic``."""
    return any(filter_matches(name, topic) for name, _ in packet.filters)


Scenario = Callable[[Stage], Awaitable[None]]
OURS_LIMIT = 600
"""Seconds after which a case of Rootlet's own ends."""


@dataclass(frozen=True)
class Case:
    """One case of the catalogue."""

    id: str
    title: str
    number: int | None
    """The number of Device Advisor's case, in the order of its documentation; None for one of Rootlet's own."""
    scenario: Scenario
    grade: Grade
    starred: bool = False
    """Whether the case is one of the eleven that qualify a device."""
    long: bool = False
    """Whether the case belongs to the suite ``long`` instead of ``all``."""
    timed: bool = False
    """Whether the case measures waits: its time is compressed where the device supports it."""
    virtual_only: bool = False
    limit: float | None = None
    """The time limit of the case, in seconds; None for EXECUTION_TIMEOUT, in a case of Rootlet's own OURS_LIMIT."""
    settings: tuple[str, ...] = ()
    """The names of the settings that this case takes, beside ``execution_timeout``."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the virtual board in this case."""

    @property
    def ours(self) -> bool:
        return self.number is None

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of the settings that this case takes."""
        return self.settings if self.ours or self.long else ("execution_timeout", *self.settings)

    def time_limit(self, settings: Settings) -> float:
        """Seconds of the device's time after which the case ends."""
        if settings.execution_timeout is not None and "execution_timeout" in self.takes:
            return settings.execution_timeout
        return self.limit or (OURS_LIMIT if self.ours else EXECUTION_TIMEOUT)

    @property
    def group(self) -> str:
        return self.scenario.__module__.rpartition(".")[2]

    @property
    def summary(self) -> str:
        """The scenario's docstring: what the server does, and what the device must do."""
        return " ".join((self.scenario.__doc__ or "").split())


CATALOGUE: dict[str, Case] = {}


def case(id_: str, title: str, grade: Grade, number: int | None = None, **more: Any) -> Callable[[Scenario], Scenario]:
    """A decorator that adds a scenario to the catalogue."""

    def register(scenario: Scenario) -> Scenario:
        CATALOGUE[id_] = Case(id_, title, number, scenario, grade, **more)
        return scenario

    return register


__all__ = ["CATALOGUE", "PATIENCE", "Behaviour", "Case", "Client", "Clock", "Connect", "NotRun", "Stage", "Timeout", "case"]
