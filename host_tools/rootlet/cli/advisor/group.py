"""``rootlet advisor``: put a device through AWS IoT Device Advisor's cases, and ours, at the desk."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from rootlet.cli import panels
from rootlet.cli.advisor.settings import NAMES, aws_settings, settings
from rootlet.cli.options import PATH, SERIAL_PORT, baud_option, emulated_chip_options, finite, json_option, listen_address
from rootlet.cli.output import emit_json, err, out
from rootlet.errors import BadInput
from rootlet.words import number_of

if TYPE_CHECKING:
    from rootlet.advisor.runner import CaseResult, Runner
    from rootlet.advisor.setup import DeviceSetup
    from rootlet.advisor.stage import Case

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red", "not run": "dim"}


@panels.group(name="advisor")
def command() -> None:
    """Qualify a device with the cases of AWS Device Advisor.

    No AWS account is needed.
    """


@command.command(
    name="list",
    epilog="""\b
Examples:
  rootlet advisor list
  rootlet advisor list --suite qualification --json
""",
)
@click.option("--suite", type=click.Choice(["qualification", "all", "long"]), help="Only the cases of this suite.")
@json_option
def list_(suite: str | None, as_json: bool) -> None:
    """List the cases that a device is qualified with.

    Each says what is done to the device and what must be seen.
    """
    from rootlet.advisor import cases, runner

    chosen = runner.select((), suite) if suite else list(cases.catalogue().values())
    if as_json:
        emit_json(
            [
                {"id": one.id, "number": one.number, "title": one.title, "group": one.group, "qualification": one.starred,
                 "long": one.long, "timed": one.timed, "virtual_only": one.virtual_only, "summary": one.summary,
                 "settings": [name.upper() for name in one.takes]}
                for one in chosen
            ]
        )  # fmt: skip
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "case", "what is done, and what must be seen"):
        table.add_column(heading, overflow="fold")
    for one in chosen:
        star = "★" if one.starred else "long" if one.long else ""
        number = f"{one.number}" if one.number else "ours"
        table.add_row(f"{number} {star}", one.id, escape(one.summary))
    out.print(table)


@command.command(
    epilog="""\b
Examples:
  rootlet advisor run                                       # leaf and the qualification app, on the virtual board
  rootlet advisor run --image flash.bin --suite all --html report.html
  rootlet advisor run MQTT_Connect_Jitter_Backoff_Retries 12 14 --app my_app/ --repeat 5
  rootlet advisor run --exec 'python client.py --host {host} --port {port} --ca {root}
      --cert {certificate} --key {key}' --junit report.xml
  rootlet advisor run --image flash.bin --chip              # its own MicroPython, in a chip emulator
  rootlet advisor run --listen 192.168.1.20:8883            # a board on the network: prints what to give it
  rootlet advisor run --listen 192.168.1.20:8883 --port /dev/ttyUSB0      # a board with leaf on a serial port
"""
)
@click.argument("names", nargs=-1, metavar="[CASE]...")
@click.option("--suite", type=click.Choice(["qualification", "all", "long"]), help="Without CASE. [default: qualification]")
@click.option("--image", type=PATH, help="A flash image, for the virtual board or, with --chip, for an emulated chip.")
@emulated_chip_options
@click.option("--app", type=PATH, help="An application, to build an image of.")
@click.option("--config", type=PATH, help="With --app: a config.json; its endpoint may be any.")
@click.option(
    "--exec", "command_line", help="A client's command line; placeholders {host} {port} {root} {certificate} {key}."
)
@click.option("--listen", metavar="ADDRESS:PORT", help="Wait for a device on the network at this address.")
@click.option(
    "--port", type=SERIAL_PORT, help="With --listen: the board's serial port. It is sent here, and back again at the end."
)
@baud_option(115_200)
@click.option("--hostname", help="With --listen: the host name that the device connects to. [default: the address]")
@click.option("--state-dir", type=PATH, help="With --listen: where the roots are kept between runs.")
@click.option("--speed", type=finite(1, 100), default=10, show_default=True, help="Of the virtual board's time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the virtual board's randomness.")
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, help="Run each case so often.")
@aws_settings
@json_option
@click.option("--junit", type=PATH, help="Write the results as JUnit XML.")
@click.option("--html", type=PATH, help="Write a page with a timeline for each case.")
def run(
    names: tuple[str, ...],
    suite: str | None,
    image: Path | None,
    chip: bool,
    qemu: Path | None,
    app: Path | None,
    config: Path | None,
    command_line: str | None,
    listen: str | None,
    port: str | None,
    baud: int,
    hostname: str | None,
    state_dir: Path | None,
    speed: float,
    seed: int,
    repeat: int,
    as_json: bool,
    junit: Path | None,
    html: Path | None,
    **given: Any,
) -> None:
    """Run cases against a device. Exits with 1 where one fails.

    The device is the virtual board unless --chip, --exec or --listen is given. By default it runs leaf with an
    application made for this, and its time runs ten times as fast in the cases that are about waiting.
    """
    from rootlet.advisor import runner
    from rootlet.advisor.settings import check_used
    from rootlet.files import check_writable

    chosen = runner.select(names, suite)
    asked = settings(given)
    check_used(asked, chosen)
    for path in filter(None, (junit, html)):
        check_writable(path)
    more = {"--config": config, "--hostname": hostname, "--state-dir": state_dir, "--port": port, "--chip": chip or None}
    _check_device({"--image": image, "--app": app, "--exec": command_line, "--listen": listen}, more)
    if listen is not None:
        setup = _listening(listen, hostname, state_dir, port, baud)
    else:
        setup = _started_here(image, _emulator(chip, qemu), app, config, command_line)
    with contextlib.closing(setup.device):
        asked = replace(asked, policies=asked.policies or setup.policies)
        running = runner.Runner(setup.device, setup.chains, setup.address, setup.port, speed, seed, asked)
        try:
            _show(running, chosen, repeat, as_json)
        finally:
            if running.results:  # also where it was interrupted, or the device was lost: what was seen so far was seen
                _report(running, _Reports(as_json, junit, html))
    if runner.worst(running.results) == "fail":
        raise SystemExit(1)


@command.command(
    epilog="""\b
Examples:
  rootlet advisor restore --port /dev/ttyUSB0
"""
)
@click.option("--port", type=SERIAL_PORT, help="As pyserial names it. Found where there is just one.")
@baud_option(115_200)
def restore(port: str | None, baud: int) -> None:
    """Send a board back to its own endpoint.

    This is for a run with --port that ended before it could do so.
    """
    from rootlet.board import redirect
    from rootlet.board.chip import find_port
    from rootlet.board.repl import Repl

    with Repl(port or find_port(), baud) as board:
        undone = redirect.end(board)
        board.restart()
        out.print(
            f"the board on {escape(board.port)} has its own endpoint and roots again"
            if undone
            else f"nothing to restore: the board on {escape(board.port)} has its own endpoint"
        )


_GO_WITH = {
    "--config": ("--app", None),
    "--hostname": ("--listen",),
    "--state-dir": ("--listen",),
    "--port": ("--listen",),
    "--chip": ("--image",),
}
"""What each of these options is about; None is the qualification application."""


def _check_device(devices: Mapping[str, object], more: Mapping[str, object]) -> None:
    """Refuse what would be left out silently: the device tested would not be the one that was meant."""
    given = [option for option, value in devices.items() if value is not None]
    if len(given) > 1:
        raise BadInput(
            f"more than one device is given: {', '.join(given)}", hint="choose one of --image, --app, --exec and --listen"
        )
    chosen = given[0] if given else None
    for option, value in more.items():
        if value is not None and chosen not in _GO_WITH[option]:
            wanted = _GO_WITH[option][0]
            said = option if value is True else f"{option} {value}"
            raise BadInput(f"{said} needs {wanted}", hint=f"give {wanted}, or leave {option} out")


@dataclass(frozen=True)
class _Emulator:
    """Of chips; ``path`` where it is named."""

    path: Path | None


def _emulator(chip: bool, qemu: Path | None) -> _Emulator | None:
    if qemu and not chip:
        raise BadInput(f"--qemu {qemu} needs --chip", hint="give --chip, or leave --qemu out")
    return _Emulator(qemu) if chip else None


def _started_here(
    image: Path | None,
    emulator: _Emulator | None,
    app: Path | None,
    config: Path | None,
    command_line: str | None,
) -> "DeviceSetup":
    from rootlet.advisor import setup

    if command_line is not None:
        return setup.command(command_line)
    if image and emulator:
        return setup.on_chip(image, emulator.path)
    return setup.virtual(image, app, config)


def _listening(listen: str, name: str | None, state: Path | None, serial_port: str | None, baud: int) -> "DeviceSetup":
    from rootlet.advisor import setup

    address, port = listen_address(listen)
    if serial_port:
        made = setup.on_port(serial_port, baud, address, port, name)
    else:
        made = setup.on_network(address, port, name, state)
    for note in made.notes:
        err.print(escape(note))
    return made


@dataclass(frozen=True)
class _Reports:
    """Where the results go beside the screen."""

    as_json: bool
    junit: Path | None
    html: Path | None


def _show(running: "Runner", chosen: "Sequence[Case]", repeat: int, as_json: bool) -> None:
    """Run the cases, each shown while it runs and once it ended."""
    with err.status("starting") as status:
        for outcome in running.run(chosen, repeat=repeat, on_start=lambda one: status.update(f"{one.id}: {one.summary}")):
            if not as_json:
                _line(outcome)


def _report(running: "Runner", reports: _Reports) -> None:
    from rootlet.advisor import report
    from rootlet.files import write_atomic

    device, outcomes = running.device, running.results
    facts = report.facts(outcomes, device.description, running.speed, running.seed, running.settings)
    if reports.as_json:
        emit_json(facts)
    else:
        _summary(outcomes, device.virtual)
    if reports.junit:
        write_atomic(reports.junit, report.junit(outcomes, device.description))
    if reports.html:
        from rootlet.advisor import page

        write_atomic(reports.html, page.render(facts).encode())


def _line(outcome: "CaseResult") -> None:
    result = outcome.verdict.result
    again = f" #{outcome.repetition + 1}" if outcome.repetition else ""
    out.print(f"[{_COLOURS[result]}]{result:<7}[/] {outcome.case.id}{again}  [dim]{outcome.seconds:.1f} s[/]")
    out.print(f"        {escape(outcome.verdict.evidence)}")


def _summary(outcomes: "Sequence[CaseResult]", virtual: bool) -> None:
    counts = {result: sum(outcome.verdict.result == result for outcome in outcomes) for result in _COLOURS}
    shown = ", ".join(f"[{_COLOURS[result]}]{count} {result}[/]" for result, count in counts.items() if count)
    out.print(f"\n{number_of(len(outcomes), 'result')}: {shown}")
    fast = sorted({outcome.case.id for outcome in outcomes if outcome.speed != 1})
    if virtual and fast:
        which = ", ".join(fast) if len(fast) < 5 else f"{len(fast)} cases, as the reports say"
        out.print(f"[dim]The device's time was compressed in {which}: waits are in its own seconds, in which a handshake "
                  "seems longer than it is.[/]")  # fmt: skip


panels.arrange_options(
    run,
    {
        "Device": ["--image", "--app", "--config", "--exec", "--listen", "--port", "--baud", "--hostname", "--state-dir"],
        "Emulated chip": ["--chip", "--qemu"],
        "Cases": ["--suite", "--repeat", "--policy-file"],
        "AWS's settings, by AWS's names": NAMES,
        "Virtual board": ["--speed", "--seed"],
        "Results": ["--json", "--junit", "--html"],
    },
)
