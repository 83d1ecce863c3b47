"""The options that the commands share which register devices or write their policies."""

from typing import TypeVar

import click

from rootlet.errors import BadInput

Services = TypeVar("Services", str, tuple[str, ...], None)


def known(_context: click.Context, _parameter: click.Parameter, given: Services) -> Services:
    """Callback of an option that takes services, one or several."""
    from rootlet.cloud import policy

    try:
        policy.check_services([given] if isinstance(given, str) else given or ())
    except BadInput as error:
        raise click.BadParameter(f"{error}; {error.hint}") from None
    return given


application = click.option("--application", default="leaf", show_default=True, help="As in the devices' config.json.")
streams = click.option(
    "--stream",
    "streams",
    multiple=True,
    default=("climate",),
    show_default=True,
    help="A telemetry stream; repeatable.",
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
