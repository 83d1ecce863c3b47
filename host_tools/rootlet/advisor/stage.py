"""What a case works with: the device, the endpoint, the clock; and how a case is declared."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rootlet.advisor.chains import Chains
from rootlet.advisor.client import Behaviour, Client, Clock, Timeout
from rootlet.advisor.devices import DeviceUnderTest, Environment
from rootlet.advisor.endpoint import Endpoint
from rootlet.advisor.grading import Grade
from rootlet.advisor.packets import Connect, Subscribe
from rootlet.advisor.sntp import TimeServer
from rootlet.advisor.timeline import Timeline

PATIENCE = 120
"""Seconds in which a device must have connected: it may be in the middle of a pause."""


class NotRun(Exception):  # noqa: N818 - reads as what it is
    """The case cannot be run with this device; the text says why."""


@dataclass
class Stage:
    """One run of one case. All times are seconds of the device's."""

    device: DeviceUnderTest
    endpoint: Endpoint
    timeline: Timeline
    clock: Clock
    chains: Chains
    time_server: TimeServer
    environment: Environment
    options: Mapping[str, Any]
    """What the user said about the device: ``policies`` (documents), ``desired`` (a shadow's desired state), ``payload``
    (bytes of the largest message of MQTT_Client_Puback_QoS1)."""

    async def attempt(self, behaviour: Behaviour | None = None, timeout: float = PATIENCE) -> Client:
        """The device's next TCP connection, after its handshake has ended, well or badly. Raises Timeout."""
        client = await self.endpoint.take(behaviour, timeout)
        await client.handshake()
        return client

    async def connection(self, behaviour: Behaviour | None = None, timeout: float = PATIENCE) -> Client:
        """The device's next connection, after its CONNECT. Raises Timeout."""
        client = await self.attempt(behaviour, timeout)
        await client.packet(Connect)
        return client

    async def subscribed(self, client: Client, timeout: float = 60) -> str:
        """Wait for SUBSCRIBE; return a topic that its first filter matches. Raises Timeout."""
        packet = await client.packet(Subscribe, timeout=timeout)
        return "/".join("advisor" if level in "+#" and level else level for level in packet.filters[0][0].split("/"))

    async def pause(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def power_cycle(self) -> None:
        """Off and on again. Raises NotRun where the device's power is not ours."""
        self.note("power off and on")
        if not await asyncio.to_thread(self.device.restart, self.environment):
            self.not_run("its power cannot be switched from here")

    def note(self, text: str, connection: int = 0) -> None:
        self.timeline.add("note", connection, text)

    def not_run(self, why: str) -> NoReturn:
        raise NotRun(why)


Scenario = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """One case of the catalogue."""

    id: str
    title: str
    number: int | None
    """Device Advisor's, by the order of its documentation; None for a case of ours."""
    scenario: Scenario
    grade: Grade
    starred: bool = False
    """One of the eleven that qualify a device."""
    long: bool = False
    """Part of the suite ``long`` and not of ``all``."""
    timed: bool = False
    """Waits are what it is about: its time is compressed where the device's can be."""
    virtual_only: bool = False
    limit: float = 600
    """Seconds after which it ends in any case."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the virtual board in this case."""

    @property
    def ours(self) -> bool:
        return self.number is None

    @property
    def group(self) -> str:
        return self.scenario.__module__.rpartition(".")[2]

    @property
    def summary(self) -> str:
        """The scenario's docstring: what is done to the device, and what must be seen."""
        return " ".join((self.scenario.__doc__ or "").split())


CATALOGUE: dict[str, Case] = {}


def case(id_: str, title: str, grade: Grade, number: int | None = None, **more: Any) -> Callable[[Scenario], Scenario]:
    """Decorator: put a scenario into the catalogue."""

    def register(scenario: Scenario) -> Scenario:
        CATALOGUE[id_] = Case(id_, title, number, scenario, grade, **more)
        return scenario

    return register


__all__ = ["CATALOGUE", "PATIENCE", "Behaviour", "Case", "Client", "Clock", "Connect", "NotRun", "Stage", "Timeout", "case"]
