"""The options that the commands share which register devices or write their policies."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from rich.markup import escape

from rootlet.cli.options import PATH, Command, application_option
from rootlet.cli.output import err
from rootlet.errors import BadInput

if TYPE_CHECKING:
    from rootlet.policies.application import Application

DEFAULT_STREAMS = ("climate",)
"""What the sample application publishes."""

Services = TypeVar("Services", str, tuple[str, ...], None)


def known(_context: click.Context, _parameter: click.Parameter, given: Services) -> Services:
    """Callback of an option that takes services, one or several."""
    from rootlet.policies import rendering

    try:
        rendering.check_services([given] if isinstance(given, str) else given or ())
    except BadInput as error:
        raise click.BadParameter(f"{error}; {error.hint}") from None
    return given


@dataclass(frozen=True)
class Wanted:
    """What a policy should allow: by the options, and by the application's source."""

    application: str
    streams: tuple[str, ...]
    topics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    @property
    def uses(self) -> "Application":
        """The same as an application that was read."""
        from rootlet.policies.application import Application, Use

        named = {"streams": self.streams, "topics": self.topics, "services": self.services}
        return Application(**{kind: tuple(Use(name, "an option") for name in names) for kind, names in named.items()})


def wanted(application: str, streams: Sequence[str], services: Sequence[str], app: Path | None) -> Wanted:
    """What the options say, and what ``app`` does beside. Raises BadInput where its source does not say it all."""
    if app is None:
        return Wanted(application, tuple(streams or DEFAULT_STREAMS), services=tuple(services))
    read = readable(app, complete=bool(streams))
    return Wanted(
        application,
        tuple(dict.fromkeys([*streams, *(use.name for use in read.streams)])),
        tuple(use.name for use in read.topics),
        tuple(dict.fromkeys([*services, *(use.name for use in read.services)])),
    )


def readable(app: Path, *, complete: bool = False) -> "Application":
    """The application ``app``. What its source does not say is refused, or noted where the user ``complete``-s it."""
    from rootlet.policies.application import read

    found = read(app)
    unread = "; ".join(f"{use.place}: {use.name}" for use in found.unread)
    if unread and not complete:
        raise BadInput(
            f"the source does not give every name as a string: {unread}", hint="write the string there, or add --stream NAME"
        )
    if unread:
        err.print(f"[bold yellow]note:[/] not in the policy unless you name it: {escape(unread)}")
    return found


app = click.option("--app", type=PATH, help="Read streams, topics and services from this application's source.")
streams = click.option(
    "--stream",
    "streams",
    multiple=True,
    help="A telemetry stream; repeatable. [default: climate, or those of --app]",
)
services = click.option(
    "--service",
    "services",
    multiple=True,
    callback=known,
    help="shadow, shadow:NAME or jobs, where the application uses it: each adds a policy. Repeatable.",
)
policy = click.option("--policy", help="Attach this existing policy instead of making one.")
with_ca = click.option("--with-ca", is_flag=True, help="Register under the issuing CA, which must be registered.")


def policy_options(function: Command) -> Command:
    """The options of whatever registers; the command gets ``permissions``, fields of ``RegistrationRequest``."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        application, streams, services, app = (options.pop(name) for name in ("application", "streams", "services", "app"))
        fixed = {name: options.pop(name) for name in ("policy", "with_ca")}
        if app and fixed["policy"]:
            raise BadInput(
                f"--app and --policy {fixed['policy']}: the policy is attached as it is",
                hint=f"leave one out; rootlet cloud policy check {fixed['policy']} --app {app} says what it would deny",
            )
        permissions = vars(wanted(application, streams, services, app)) | fixed
        return function(*arguments, permissions=permissions, **options)

    decorated: Command = wrapped
    for option in (with_ca, policy, services, streams, app, application_option):
        decorated = option(decorated)
    return decorated
