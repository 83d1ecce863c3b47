"""``rootlet advisor``: put a device through AWS IoT Device Advisor's cases, and ours, at the desk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from rootlet.cli import panels
from rootlet.cli.options import PATH, baud_option, json_option, listen_address
from rootlet.cli.output import emit_json, err, out
from rootlet.errors import BadInput

if TYPE_CHECKING:
    from rootlet.advisor.chains import Chains
    from rootlet.advisor.devices import DeviceUnderTest
    from rootlet.advisor.runner import CaseResult

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
                 "long": one.long, "timed": one.timed, "virtual_only": one.virtual_only, "summary": one.summary}
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
  rootlet advisor run --listen 192.168.1.20:8883            # a board on the network: prints what to give it
  rootlet advisor run --listen 192.168.1.20:8883 --port /dev/ttyUSB0      # a board with leaf on a serial port
"""
)
@click.argument("names", nargs=-1, metavar="[CASE]...")
@click.option("--suite", type=click.Choice(["qualification", "all", "long"]), help="Without CASE. [default: qualification]")
@click.option("--image", type=PATH, help="A flash image, for the virtual board.")
@click.option("--app", type=PATH, help="An application, to build an image of.")
@click.option("--config", type=PATH, help="With --app: a config.json; its endpoint may be any.")
@click.option(
    "--exec", "command_line", help="A client's command line; placeholders {host} {port} {root} {certificate} {key}."
)
@click.option("--listen", metavar="ADDRESS:PORT", help="Wait for a device on the network at this address.")
@click.option("--port", help="With --listen: the board's serial port. It is sent here, and back again at the end.")
@baud_option(115_200)
@click.option("--hostname", help="With --listen: the host name that the device connects to. [default: the address]")
@click.option("--state-dir", type=PATH, help="With --listen: where the roots are kept between runs.")
@click.option("--speed", type=click.FloatRange(1, 100), default=10, show_default=True, help="Of the virtual board's time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the virtual board's randomness.")
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, help="Run each case so often.")
@click.option(
    "--policy-file",
    "policies",
    type=PATH,
    multiple=True,
    help="A policy document of the device, for Security_Device_Policies; repeatable.",
)
@click.option(
    "--payload",
    type=click.IntRange(0, 131_072),
    help="Bytes of the largest message in MQTT_Client_Puback_QoS1. [default: 4096]",
)
@click.option("--desired", metavar="JSON", help="A desired state that the device knows, for the shadow cases.")
@json_option
@click.option("--junit", type=PATH, help="Write the results as JUnit XML.")
@click.option("--html", type=PATH, help="Write a page with a timeline for each case.")
def run(
    names: tuple[str, ...],
    suite: str | None,
    image: Path | None,
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
    policies: tuple[Path, ...],
    payload: int | None,
    desired: str | None,
    as_json: bool,
    junit: Path | None,
    html: Path | None,
) -> None:
    """Run cases against a device. Exits with 1 where one fails.

    The device is the virtual board unless --exec or --listen is given. By default it runs leaf with an application made
    for this, and its time runs ten times as fast in the cases that are about waiting.
    """
    from rootlet.advisor import report, runner
    from rootlet.files import check_writable, read_input, write_atomic

    chosen = runner.select(names, suite)
    for path in filter(None, (junit, html)):
        check_writable(path)
    options: dict[str, Any] = {}
    if policies:
        options["policies"] = [
            _json(read_input(path, "policy").decode(errors="replace"), f"--policy-file {path}") for path in policies
        ]
    if payload is not None:
        options["payload"] = payload
    if desired is not None:
        options["desired"] = _json(desired, "--desired")
        if not isinstance(options["desired"], dict) or not options["desired"]:
            hint = "for example --desired '{\"brightness\": 60}'"
            raise BadInput(f"--desired {desired}: a state is an object, with something in it", hint=hint)
    _check_device(
        {"--image": image, "--app": app, "--exec": command_line, "--listen": listen},
        {"--config": config, "--hostname": hostname, "--state-dir": state_dir, "--port": port},
    )
    if listen is not None:
        device, chains, address, number = _listening(listen, hostname, state_dir, port, baud)
    else:
        device, chains, address, number = _device(image, app, config, command_line, options)
    outcomes: list[CaseResult] = []

    def reports() -> None:
        facts = report.facts(outcomes, device.description, speed, seed)
        if as_json:
            emit_json(facts)
        else:
            _summary(outcomes, device.virtual)
        if junit:
            write_atomic(junit, report.junit(outcomes, device.description))
        if html:
            from rootlet.advisor import page

            write_atomic(html, page.render(facts).encode())

    try:
        running = runner.Runner(device, chains, address, number, speed, seed, options)
        try:
            with err.status("starting") as status:
                for outcome in running.run(
                    chosen, repeat=repeat, on_start=lambda one: status.update(f"{one.id}: {one.summary}")
                ):
                    outcomes.append(outcome)
                    if not as_json:
                        _line(outcome)
        finally:
            if outcomes:  # also where it was interrupted, or the device was lost: what was seen so far was seen
                reports()
    finally:
        device.close()
    if runner.worst(outcomes) == "fail":
        raise SystemExit(1)


@command.command(
    epilog="""\b
Examples:
  rootlet advisor restore --port /dev/ttyUSB0
"""
)
@click.option("--port", help="As pyserial names it. Found where there is just one.")
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
            f"the board on {escape(board.port)} is as it was before: its own endpoint, its own roots"
            if undone
            else f"nothing to restore: the board on {escape(board.port)} is as it was"
        )


_GO_WITH = {"--config": ("--app", None), "--hostname": ("--listen",), "--state-dir": ("--listen",), "--port": ("--listen",)}
"""What each of these options is about; None is the qualification application."""


def _check_device(devices: dict[str, object], more: dict[str, object]) -> None:
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
            raise BadInput(f"{option} {value} goes with {wanted} only", hint=f"give {wanted}, or leave {option} out")


def _device(
    image: Path | None, app: Path | None, config: Path | None, command_line: str | None, options: dict[str, Any]
) -> "tuple[DeviceUnderTest, Chains, str, int]":
    from rootlet.advisor import devices
    from rootlet.advisor.chains import Chains

    if command_line is not None:
        if not command_line.strip():
            raise BadInput("--exec: the command line is empty", hint="give your client's; is a variable of the shell unset?")
        chains = Chains.mint(["localhost", "127.0.0.1"])
        return devices.CommandDevice(command_line, chains), chains, "127.0.0.1", 0
    if image:
        flash, host, thing = devices.open_image(image)
    else:
        application = app or devices.QUALIFICATION
        flash, host, thing = devices.build_image(application, _config(config) if config else {})
        options.setdefault("policies", devices.own_policies(application, config))
    chains = Chains.mint([host])
    what = str(image or app or "leaf with its qualification application")
    return devices.VirtualDevice(devices.with_roots(flash, chains), host, thing, what), chains, "127.0.0.1", 0


def _listening(
    listen: str, name: str | None, state: Path | None, serial_port: str | None, baud: int
) -> "tuple[DeviceUnderTest, Chains, str, int]":
    import platformdirs

    from rootlet.advisor import devices
    from rootlet.advisor.chains import ROOTS, Chains

    address, port = listen_address(listen)
    host = name or address
    if serial_port:
        from rootlet.advisor.serial_device import SerialDevice

        # Roots for this run alone: their keys are nowhere but in memory, and the board forgets the roots at the end.
        chains = Chains.mint([host])
        err.print(f"the board on {escape(serial_port)} is sent to {escape(host)} port {port}, and back again at the end")
        return SerialDevice(serial_port, host, chains, baud), chains, address, port
    directory = state or platformdirs.user_data_path("rootlet") / "advisor"
    chains = Chains.kept(directory, [host])
    err.print(f"endpoint  {escape(host)} port {port}")
    err.print(f"roots     {escape(str(directory / ROOTS))} (the RSA one alone: {escape(str(directory / 'root-rsa.crt'))})")
    err.print("Give these to the device, with any certificate and key, and start it. Between cases it may go on running.")
    return devices.NetworkDevice(host), chains, address, port


def _config(path: Path) -> dict[str, Any]:
    from rootlet.board.config import load_config

    return load_config(path)


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BadInput(f"{what} is no JSON", hint="check the file or the quotes") from None


def _line(outcome: "CaseResult") -> None:
    result = outcome.verdict.result
    again = f" #{outcome.repetition + 1}" if outcome.repetition else ""
    out.print(f"[{_COLOURS[result]}]{result:<7}[/] {outcome.case.id}{again}  [dim]{outcome.seconds:.1f} s[/]")
    out.print(f"        {escape(outcome.verdict.evidence)}")


def _summary(outcomes: "Sequence[CaseResult]", virtual: bool) -> None:
    counts = {result: sum(outcome.verdict.result == result for outcome in outcomes) for result in _COLOURS}
    shown = ", ".join(f"[{_COLOURS[result]}]{count} {result}[/]" for result, count in counts.items() if count)
    out.print(f"\n{len(outcomes)} results: {shown}")
    fast = sorted({outcome.case.id for outcome in outcomes if outcome.speed != 1})
    if virtual and fast:
        which = ", ".join(fast) if len(fast) < 5 else f"{len(fast)} cases, as the reports say"
        out.print(f"[dim]The device's time was compressed in {which}: waits are in its own seconds, in which a handshake "
                  "seems longer than it is.[/]")  # fmt: skip
