"""The options of every command that talks to a board on a port."""

import rich_click as click

from rootlet.cli.options import SERIAL_PORT, Command, baud_option


def port_options(command: Command) -> Command:
    """``--port`` and ``--baud``."""
    port = click.option(
        "--port",
        type=SERIAL_PORT,
        help="As esptool names it: /dev/ttyUSB0, COM3, socket://…, rfc2217://…. Found where there is just one.",
    )
    decorated: Command = port(baud_option(460_800)(command))
    return decorated
