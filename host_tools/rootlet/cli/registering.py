"""The options that the commands share which register devices or write their policies."""

import click

application = click.option("--application", default="leaf", show_default=True, help="As in the devices' config.json.")
streams = click.option(
    "--stream",
    "streams",
    multiple=True,
    default=("climate",),
    show_default=True,
    help="A telemetry stream; repeatable.",
)
policy = click.option("--policy", help="Attach this existing policy instead of making one.")
with_ca = click.option("--with-ca", is_flag=True, help="Register under the issuing CA, which must be registered.")
