"""The ``rootlet`` command: its groups, and how an error reaches the user."""

import atexit
import gc
import importlib
import sys

import rich_click as click
from click.exceptions import Exit
from rich.markup import escape

from rootlet import __version__
from rootlet.cli import panels
from rootlet.cli.output import err
from rootlet.errors import RootletError

FLOW = """Put an ESP32 with an identity of its own on AWS IoT Core.

\b
From nothing to a connected device, in an empty directory; each step is a command of its own:
  rootlet sandbox up                             # a local IoT Core; leave it running, in a second terminal
  rootlet ca create fleet-ca                     # mint the fleet CA; choose a passphrase
  rootlet device issue sensor-1 --ca fleet-ca    # make a key and certificate for one device
  rootlet cloud register devices/sensor-1        # make the cloud trust the device
  rootlet image build --device devices/sensor-1 -o flash.bin
  rootlet emulate flash.bin                      # boot those very bytes, no hardware needed; Ctrl-C ends

\b
The sandbox is found while it runs. For your AWS account set AWS_PROFILE instead, and give image build its --config.
"""

# Panel -> command -> (module, the first sentence of its help). A module is imported only when its command is used, so
# that --help is quick. Each module offers ``command``, a click command or group.
PANELS: dict[str, dict[str, tuple[str, str]]] = {
    "Identities and trust": {
        "ca": ("rootlet.cli.identity.ca", "Mint and look after certificate authorities"),
        "device": ("rootlet.cli.identity.device", "Issue, import and explain device identities"),
        "roots": ("rootlet.cli.trust.roots", "Pin, list and check the roots that an image embeds"),
        "chain": ("rootlet.cli.trust.chain", "Show a server's chain and whether a device would connect"),
    },
    "Cloud": {
        "cloud": ("rootlet.cli.cloud.group", "Register devices with AWS IoT Core or a sandbox"),
        "sandbox": ("rootlet.cli.local.sandbox", "Run a local IoT Core"),
    },
    "Images": {
        "boards": ("rootlet.cli.board.boards", "List the boards that an image can be built for"),
        "micropython": ("rootlet.cli.board.micropython", "Fetch and check MicroPython's own builds"),
        "image": ("rootlet.cli.board.image", "Build and inspect flash images"),
        "emulate": ("rootlet.cli.local.emulate", "Boot a flash image on the virtual board"),
    },
    "Boards": {
        "flash": ("rootlet.cli.board.flash", "Write an image to a board and make it a device"),
        "verify": ("rootlet.cli.board.verify", "Compare a board with an image, byte for byte"),
        "info": ("rootlet.cli.board.info", "Show which device a board is"),
        "bench": ("rootlet.cli.board.bench", "Measure a board that runs leaf: from boot to PUBACK"),
        "monitor": ("rootlet.cli.board.monitor", "Show a board's log"),
        "push": ("rootlet.cli.board.push", "Send changed code to a running board"),
        "repair": ("rootlet.cli.board.repair", "Write new firmware and keep identity and state"),
        "erase": ("rootlet.cli.board.erase", "Erase a board's whole flash"),
        "secure": ("rootlet.cli.board.secure", "Plan and burn the eFuses that protect a board"),
    },
    "Factory and qualification": {
        "factory": ("rootlet.cli.factory.group", "Provision boards in parallel, with a ledger that proves it"),
        "advisor": ("rootlet.cli.advisor.group", "Qualify a device with the cases of AWS Device Advisor"),
    },
}
COMMANDS = {name: entry for commands in PANELS.values() for name, entry in commands.items()}


class _LazyGroup(panels.Group):
    _listing = False

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, text = COMMANDS[cmd_name]
        if self._listing:  # a list needs the sentence alone
            return panels.Command(cmd_name, help=text)
        command: click.Command = importlib.import_module(module).command
        return command

    def format_options(self, ctx: click.RichContext, formatter: click.RichHelpFormatter) -> None:  # type: ignore[override]
        self._listing = True
        try:
            super().format_options(ctx, formatter)
        finally:
            self._listing = False


@panels.group(cls=_LazyGroup, help=FLOW, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rootlet")
def rootlet() -> None:
    pass


panels.arrange(rootlet, {name: list(commands) for name, commands in PANELS.items()})


def main() -> None:
    """Run the command; a RootletError becomes one clear error on stderr and its exit code."""
    # At the end Python would walk all that was imported for cycles, which the end of the process frees as well.
    atexit.register(gc.freeze)
    try:
        rootlet.main(standalone_mode=False, prog_name="rootlet")
    except Exit as exit_:
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
