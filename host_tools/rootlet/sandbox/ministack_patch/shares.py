"""Shared subscriptions: each message goes to one member of a group (AWS IoT developer guide, shared subscriptions).

An online member is chosen at random. Where none is online, and a persistent session is a member, QoS 1 messages wait for the
next member that joins or resumes.
"""

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

PREFIX = "$share/"
_WAITING = 1000  # messages of one group; more are dropped, and those that wait are kept

Group = tuple[str, str, str]
"""Account, region, and the whole filter."""
_Message = tuple[str, bytes, int, bytes, float]  # as ministack queues messages


def apply(iot: Any) -> "Shares":
    shares, publish = Shares(iot), iot.broker_publish

    async def publish_to_groups(
        account: str, region: str, topic: str, payload: bytes, qos: int = 0, *more: Any, **named: Any
    ) -> None:
        await publish(account, region, topic, payload, qos, *more, **named)
        if not topic.startswith(iot._BASIC_INGEST_PREFIX):
            properties = named.get("properties", b"")
            await shares.publish(account, region, (topic, payload, qos, properties, time.time()))

    iot.broker_publish = publish_to_groups
    return shares


class Shares:
    """The groups of one broker. Members are in ministack's own registries of subscriptions and sessions."""

    def __init__(self, iot: Any) -> None:
        self._iot = iot
        self._waiting: dict[Group, list[_Message]] = defaultdict(list)

    async def publish(self, account: str, region: str, message: _Message) -> None:
        online = {group: members for group, members in self._online() if group[:2] == (account, region)}
        offline = {group for group in self._offline() if group[:2] == (account, region)}
        for group in online.keys() | offline:
            if not self._iot._subscription_matches(group[2][len(PREFIX) :].partition("/")[2], message[0]):
                continue
            if group in online:
                await self._deliver(random.choice(online[group]), message)  # noqa: S311 - no secret
            elif message[2] and len(self._waiting[group]) < _WAITING:
                self._waiting[group].append(message)

    async def joined(self, account: str, region: str, client_id: str) -> None:
        """Deliver what waits for the groups of this client, which may be sent messages from now on."""
        for group, members in list(self._online()):
            for member in members:
                if (*group[:2], member.client_id) == (account, region, client_id):
                    for message in self._waiting.pop(group, []):
                        await self._deliver(member, message)

    async def _deliver(self, member: Any, message: _Message) -> None:
        topic, payload, qos, properties, received = message
        aged = self._iot._aged_properties(properties, received)
        if aged is None:
            return  # expired (MQTT 5)
        token = self._iot._delivery_properties.set(aged)
        try:
            await member.deliver(topic, payload, min(qos, member.granted_qos))
        finally:
            self._iot._delivery_properties.reset(token)

    def _online(self) -> Iterator[tuple[Group, list[Any]]]:
        for members in self._iot._subscriptions.values():
            for one in list(members)[:1]:
                name = self._iot._unscope_topic(one.account_id, one.region, one.filter_prefixed)
                if name.startswith(PREFIX):
                    yield (one.account_id, one.region, name), list(members)

    def _offline(self) -> Iterator[Group]:
        for place, session in self._iot._persistent_sessions.items():
            if place not in self._iot._connected_clients and not self._iot._is_session_expired(session):
                for name in session.subscriptions:
                    if name.startswith(PREFIX) and name.qos:
                        yield (*place[:2], str(name))
