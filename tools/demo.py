"""The main job, step by step: mint, burn, boot, connect. It only calls the commands that a user would call.

``make demo`` runs it; ``make demo KEEP=1`` leaves the device connected until Ctrl-C.
"""

import argparse
import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

ROOT = Path(__file__).resolve().parents[1]
THING = "demo-0001"
ROOTLET = [sys.executable, "-m", "rootlet.cli.main"]
PATIENCE = 60  # seconds that the demo waits for any one line of the device

console = Console(highlight=False, soft_wrap=True)


class Failed(Exception):  # noqa: N818 - reads as what it is
    """A step failed; its output has been shown."""


class Steps:
    """Numbered steps on the screen, each with its time."""

    def __init__(self) -> None:
        self.number = 0
        self.started = time.monotonic()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.number += 1
        console.print(f"\n[bold cyan]{self.number}[/] [bold]{title}[/]")
        began = time.monotonic()
        yield
        console.print(f"  [dim]{time.monotonic() - began:.2f} s[/]")


class Background:
    """A command that goes on running; its output is shown as it comes, and can be waited for."""

    def __init__(self, label: str, command: list[str], environment: dict[str, str]) -> None:
        self.label = label
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = self._stopping = False
        show(command)
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first line that matches; fail when the command ends or nothing matches in time."""
        deadline = time.monotonic() + PATIENCE
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if match := re.search(pattern, line):
                        return match
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    raise Failed(f"{self.label}: {'ended' if self._ended else 'printed nothing'} like {pattern!r}")
                self._changed.wait(left)

    def wait(self) -> None:
        self._process.wait()

    def stop(self) -> None:
        """End the command and whatever it started; its last words are of no interest."""
        self._stopping = True
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() and not self._stopping:
                console.print(f"  [dim]{self.label:>7} │[/] {escape(line.rstrip())}")
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def show(command: list[str]) -> None:
    """Show a command as the user would type it."""
    typed = ["rootlet", *command[len(ROOTLET) :]] if command[: len(ROOTLET)] == ROOTLET else command
    console.print(f"  [green]$[/] {escape(shlex.join(typed))}")


def run(arguments: list[str], environment: dict[str, str]) -> None:
    """Run one rootlet command and show what it prints."""
    command = [*ROOTLET, *arguments]
    show(command)
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=ROOT
    )
    for line in done.stdout.splitlines():
        console.print(f"    {escape(line)}")
    if done.returncode:
        raise Failed(f"rootlet {arguments[0]} {arguments[1]} ended with exit code {done.returncode}")


def demo(work: Path, keep: bool) -> None:
    steps = Steps()
    # Any free ports, unless the environment names some: a sandbox may be running already.
    environment = {"ROOTLET_SANDBOX_API_PORT": "0", "ROOTLET_SANDBOX_MQTT_PORT": "0"} | os.environ
    # A fresh passphrase for a throw-away CA; only the two commands that need it see it.
    with_passphrase = environment | {"ROOTLET_CA_PASSPHRASE": secrets.token_urlsafe(24)}
    shutil.rmtree(ROOT / work, ignore_errors=True)
    (ROOT / work).mkdir(parents=True, mode=0o700)
    flash = f"{work}/flash.bin"
    with contextlib.ExitStack() as running:
        with steps.step("Mint a fleet CA and one device's key and certificate"):
            run(["ca", "create", f"{work}/fleet-ca", "--organization", "Example Fleet"], with_passphrase)
            run(["device", "issue", THING, "--ca", f"{work}/fleet-ca", "--output", f"{work}/devices"], with_passphrase)

        with steps.step("Start the sandbox: a local IoT Core, on loopback only"):
            sandbox = Background("sandbox", [*ROOTLET, "sandbox", "up"], environment)
            running.callback(sandbox.stop)
            url = sandbox.wait_for(r"^export AWS_ENDPOINT_URL=(\S+)").group(1)
            sandbox.wait_for(r"Ctrl-C")
            environment["AWS_ENDPOINT_URL"] = url  # this one, where several run, or where the environment says AWS

        with steps.step("Register the certificate, a thing and a least-privilege policy"):
            run(["cloud", "register", f"{work}/devices/{THING}"], environment)

        with steps.step("Build the flash of a board: the bytes that would be burned"):
            run(["image", "build", "--device", f"{work}/devices/{THING}", "-o", flash], environment)

        with steps.step("Boot the virtual board from that file: it verifies, connects, publishes"):
            board = Background("device", [*ROOTLET, "emulate", flash], environment)
            running.callback(board.stop)
            first = board.wait_for(r"^(\d+) mqtt: first puback").group(1)

        with steps.step("Send one command from the cloud's side"):
            board.wait_for(r"subscribed")
            run(["cloud", "command", THING, "echo", '{"text": "hello from the cloud"}'], environment)

        summary(work, board, first, time.monotonic() - steps.started)
        if keep:
            console.print("\n[bold]Everything keeps running; Ctrl-C stops it.[/] In another terminal:")
            console.print(f"  export AWS_ENDPOINT_URL={url}")
            console.print(f'  .venv/bin/rootlet cloud command {THING} echo \'{{"text": "again"}}\'')
            board.wait()


def summary(work: Path, board: Background, first: str, total: float) -> None:
    server, *issuers = reversed(board.wait_for(r" tls: trusted (.+)").group(1).split(" < "))
    thing, certificate = board.wait_for(r" identity: thing (\S+), certificate (\w+)").groups()
    console.print("\n[bold]The chain that the device trusted:[/]")
    for depth, name in enumerate((server, *issuers)):
        what = "embedded in the image as /roots/sandbox.der" if name == issuers[-1] else "sent by the server"
        console.print(f"  {'   ' * depth}{'└─ issued by ' if depth else ''}{escape(name)}  [dim]({what})[/]")
    console.print(f"[bold]The device:[/] thing {thing}, certificate {certificate}")
    console.print(f"\n[bold green]Connected.[/] Boot to first PUBACK: [bold]{first} ms[/]; the whole demo: {total:.1f} s.")
    console.print(f"Artefacts in [bold]{work}[/]:")
    for name, what in (
        ("fleet-ca/", "the fleet CA; its key is encrypted (this run's passphrase is forgotten)"),
        (f"devices/{THING}/", "the device's certificate and key"),
        ("flash.bin", "the 4 MiB that would be burned (add MicroPython itself with --micropython)"),
    ):
        console.print(f"  {name:<22} {what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="keep everything running until Ctrl-C")
    parser.add_argument("--work", type=Path, default=Path("build/demo"), help="where the artefacts go; made anew")
    arguments = parser.parse_args()
    # A terminated demo unwinds like an interrupted one, also where its shell had it ignore Ctrl-C: nothing stays behind.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        demo(arguments.work, arguments.keep)
    except Failed as failure:
        console.print(f"\n[bold red]The demo failed:[/] {escape(str(failure))}")
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        sys.exit(0 if arguments.keep else 130)


if __name__ == "__main__":
    main()
