"""The ``rootlet`` command: its groups, and how an error reaches the user."""

import importlib
import sys

import click
from rich.markup import escape

from rootlet import __version__
from rootlet.cli.output import err
from rootlet.errors import RootletError

FLOW = """Give an ESP32 its identity and get it safely onto AWS IoT Core.

\b
From nothing to a connected device, in an empty directory; each step is a command of its own:
  rootlet sandbox up                             a local IoT Core; leave it running, in a second terminal
  rootlet ca create fleet-ca                     mint the fleet CA; choose a passphrase
  rootlet device issue sensor-1 --ca fleet-ca    make a key and certificate for one device
  rootlet cloud register devices/sensor-1        make the cloud trust the device
  rootlet image build --device devices/sensor-1 -o flash.bin
  rootlet emulate flash.bin                      boot those very bytes, no hardware needed; Ctrl-C ends

\b
The sandbox is found while it runs. For your AWS account set AWS_PROFILE instead, and give image build its --config.
"""

# name -> (module, one line of help). A module is imported only when its command is used, so that --help is quick.
# Each module offers ``command``, a click command or group.
COMMANDS: dict[str, tuple[str, str]] = {
    "ca": ("rootlet.cli.identity.ca", "Mint and look after certificate authorities."),
    "device": ("rootlet.cli.identity.device", "Issue and explain device identities."),
    "roots": ("rootlet.cli.trust.roots", "The trust anchors that an image embeds."),
    "chain": ("rootlet.cli.trust.chain", "Show a server's chain, and whether a device would connect."),
    "cloud": ("rootlet.cli.cloud.group", "Register devices with AWS IoT Core, or with the sandbox."),
    "sandbox": ("rootlet.cli.local.sandbox", "Run a local IoT Core."),
    "boards": ("rootlet.cli.board.boards", "List the boards that an image can be built for."),
    "micropython": ("rootlet.cli.board.micropython", "Fetch and check MicroPython's own builds."),
    "image": ("rootlet.cli.board.image", "Build and inspect flash images."),
    "flash": ("rootlet.cli.board.flash", "Write an image to a board and make it a device."),
    "verify": ("rootlet.cli.board.verify", "Compare a board with an image."),
    "info": ("rootlet.cli.board.info", "Say which device a board is."),
    "repair": ("rootlet.cli.board.repair", "New firmware on a board; same identity, same state."),
    "erase": ("rootlet.cli.board.erase", "Erase a board's flash."),
    "push": ("rootlet.cli.board.push", "Send changed code to a running board: the developer's loop."),
    "secure": ("rootlet.cli.board.secure", "Plan and burn the eFuses that protect a board."),
    "monitor": ("rootlet.cli.board.monitor", "Show a board's log."),
    "bench": ("rootlet.cli.board.bench", "Measure a board that runs leaf: boot to PUBACK, heaps, versions."),
    "factory": ("rootlet.cli.factory.group", "Run a factory line: many boards at once, and the books that prove it."),
    "advisor": ("rootlet.cli.advisor.group", "Qualify a device: AWS IoT Device Advisor's cases at the desk."),
    "emulate": ("rootlet.cli.local.emulate", "Boot a flash image on the virtual board."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        # click would import every module for its short help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, help=FLOW, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rootlet")
def rootlet() -> None:
    pass


def main() -> None:
    """Run the command; a RootletError becomes one clear error on stderr and its exit code."""
    try:
        rootlet.main(standalone_mode=False, prog_name="rootlet")
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RootletError as error:
        err.print(f"[bold red]error:[/] {escape(error.what)}")
        if error.hint:
            err.print(f"[bold]hint:[/] {escape(error.hint)}")
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        err.print("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a full disk, say: the machine's trouble, not a bug's traceback
        err.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1)


if __name__ == "__main__":
    main()
