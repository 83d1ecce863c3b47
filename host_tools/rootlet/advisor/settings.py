"""The settings of AWS's test cases, by AWS's names (AWS IoT developer guide, "Device Advisor test cases")."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rootlet.errors import BadInput

if TYPE_CHECKING:
    from rootlet.advisor.stage import Case

EXECUTION_TIMEOUT = 300
"""AWS's default, in seconds. For the backoff cases AWS recommends 240."""
OPERATIONS = ("PUBLISH", "SUBSCRIBE")
SCENARIOS = (
    "PUBACK_QOS_1", "RECEIVE_LARGE_PAYLOAD", "PERSISTENT_SESSION", "KEEP_ALIVE", "INTERMITTENT_CONNECTIVITY",
    "RECONNECT_BACK_OFF", "LONG_SERVER_DISCONNECT",
)  # fmt: skip
"""What MQTT_Long_Duration is made of, in AWS's order."""
RECONNECTIONS = 7
"""The waits that a backoff case judges. AWS's default is 5, in which jitter looks like something else more often."""


@dataclass(frozen=True)
class Settings:
    """What the user set. A case says which of them it takes (``Case.settings``); ``policies`` is not one of AWS's."""

    policies: Sequence[Any] = ()
    """The device's policy documents."""
    execution_timeout: float | None = None
    """Seconds; None: the case's own."""
    trigger_topic: str | None = None
    """The topic of the server's messages, to which the device must subscribe; None: one that it subscribes to."""
    payload_size: float = 4
    """KiB of the largest message of MQTT_Client_Puback_QoS1."""
    reconnection_attempts: int = RECONNECTIONS
    topic_for_publish_validation: str | None = None
    """The topic to which the device must publish."""
    topic_list_for_subscription_validation: tuple[str, ...] = ()
    """The filters to which the device must subscribe."""
    shadow_name: str | None = None
    """The named shadow that the device must use; None: any."""
    reported_state: Mapping[str, Any] | None = None
    """What the device must report, at least."""
    desired_state: Mapping[str, Any] | None = None
    """None: one reported value changed."""
    job_document: Mapping[str, Any] | None = None
    operations: tuple[str, ...] = OPERATIONS
    scenarios: tuple[str, ...] = SCENARIOS
    backoff_connection_attempts: int = RECONNECTIONS
    long_server_disconnect_time: float = 10
    """Minutes. AWS's least is 30."""

    @property
    def given(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by AWS's names, as JSON values."""
        return {
            one.name.upper(): list(value) if isinstance(value, tuple) else value
            for one in fields(self)
            if one.name != "policies" and (value := getattr(self, one.name)) != one.default
        }


def check_used(settings: Settings, chosen: Iterable["Case"]) -> None:
    """Refuse a setting that none of the chosen cases takes: it would be left out silently. Raises BadInput."""
    taken = {name for case in chosen for name in case.takes}
    for name in settings.given:
        if name.lower() not in taken:
            hint = "rootlet advisor list --json says which cases take it"
            raise BadInput(f"{name} is a setting of none of the chosen cases", hint=hint)
