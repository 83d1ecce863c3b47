"""The console blocks of a page: what they type, what they show, and a shell in which they are run as they stand.

A block opens with ```` ```console ````. What follows that word says why it is not run (`needs a board`), or with which code
its last command ends (`exit 1`). Lines that begin with ``$ `` are commands, and what follows one is what it prints. ``…``
stands for anything within a line, and on a line of its own for any lines. ``^C`` as the last line interrupts the command
once it has printed what is shown above.

The shell knows more of a terminal than it runs: `kill %1` ends what was last put into the background.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAUNCHER = f'#!/bin/sh\nexec {sys.executable} -m rootlet.cli.main "$@"\n'
PASSPHRASE = "correct horse battery"
PATIENCE = 40
"""Seconds for one command."""
PROMPT = re.compile(r"(New passphrase|Passphrase|Repeat for confirmation|PIN)\b.*:$")
"""A prompt: the tests have the passphrase in the environment, so it is not printed."""
FORGOTTEN = re.compile(r"\b[0-9A-F]{2}(:[0-9A-F]{2})+|\b(?=[0-9a-f]*[0-9])[0-9a-f]{6,}|[0-9]+")
"""Numbers and digests, which differ from run to run."""


@dataclass
class Command:
    text: str
    shown: list[str] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    info: str
    commands: list[Command]

    @property
    def exit_code(self) -> int:
        """Of the last command."""
        return int(self.info.removeprefix("exit ")) if self.info.startswith("exit ") else 0

    @property
    def reason(self) -> str:
        """Why it is not run, or ''."""
        return "" if self.info.startswith("exit ") else self.info


@dataclass(frozen=True)
class Snippet:
    """A block in another language. One whose first line is a comment with a file's name is that file."""

    language: str
    text: str

    @property
    def name(self) -> str:
        found = re.match(r"# (\S+\.py)\n", self.text)
        return found[1] if found else ""

    def write(self, directory: Path) -> None:
        if self.name:
            (directory / self.name).parent.mkdir(parents=True, exist_ok=True)
            (directory / self.name).write_text(self.text)


def parts(page: Path) -> Iterator[Block | Snippet]:
    """The blocks of a page with a language, in their order."""
    lines = page.read_text().splitlines()
    end = 0
    for number, line in enumerate(lines):
        opening = re.fullmatch(r"( *)```(\w*) ?(.*)", line)
        if not opening or number < end:
            continue
        indent, language, info = len(opening[1]), opening[2], opening[3]
        end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == "```") + 1
        inner = [text[indent:] for text in lines[number + 1 : end - 1]]
        if language == "console":
            yield Block(page.name, number + 1, info, list(_commands(inner)))
        elif language:
            yield Snippet(language, "\n".join(inner) + "\n")


def _commands(lines: list[str]) -> Iterator[Command]:
    current: Command | None = None
    more = False  # the command goes on, by a backslash or as a here-document
    for line in lines:
        if line.startswith("$ ") and not more:
            if current:
                yield current
            current = Command(line[2:])
        elif current is None:
            raise ValueError(f"a console block begins with a command, not with {line!r}")
        elif more:
            current.text += "\n" + line
        elif line == "^C":
            current.interrupted = True
        elif not PROMPT.match(line):
            current.shown.append(line)
        document = "<<'EOF'" in current.text and not current.text.endswith("\nEOF")
        more = document or (current.text.endswith("\\") and not current.shown)
    if current:
        yield current


def pattern(shown: list[str]) -> re.Pattern[str]:
    """What an output must match in full for these lines to be true of it."""
    parts = []
    for line in shown:
        if line.strip() == "…":
            parts.append("(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(plain(part)) for part in line.split("…")) + " ?\n")
    return re.compile("".join(parts))


def plain(text: str) -> str:
    """What is compared of a text: numbers, digests and the width of gaps are left out."""
    return re.sub(r"[ \t]+", " ", FORGOTTEN.sub("0", text))


class Shell:
    """A newcomer's terminal in ``directory``: `rootlet` on the PATH, nothing of AWS, any free ports for a sandbox.

    ``replaced`` are texts of a page that stand for something else here, such as a serial port. Use it as a context: what
    runs in the background ends with it.
    """

    def __init__(self, directory: Path, scratch: Path, replaced: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._replaced = replaced or {}
        self._before: list[str] = []  # cd and export, which hold for what follows
        self._background: list[subprocess.Popen[str]] = []
        tools = scratch / "bin"
        tools.mkdir()
        (tools / "rootlet").write_text(LAUNCHER)
        (tools / "rootlet").chmod(0o755)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROOTLET_"))}
        self._environment = plain | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "XDG_STATE_HOME": str(scratch / "state"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "ROOTLET_CA_PASSPHRASE": PASSPHRASE,
            "ROOTLET_PARENT_PASSPHRASE": PASSPHRASE,
            "ROOTLET_SANDBOX_API_PORT": "0",
            "ROOTLET_SANDBOX_MQTT_PORT": "0",
        }

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._background):
            self._interrupt(process)

    def run_block(self, block: Block) -> None:
        *first, last = block.commands
        for command in first:
            self.run(command)
        self.run(last, block.exit_code)

    def run(self, command: Command, exit_code: int = 0) -> None:
        """Run it and compare. One that ends with ``&``, and a sandbox that nobody interrupts, run on in the background."""
        text = self._here(command.text)
        if re.match(r"(cd|export) ", text):
            self._before.append(text)
            return
        if text == "kill %1":
            self._interrupt(self._background.pop())
            return
        shown = pattern([self._here(line) for line in command.shown])
        process = self._start(text.removesuffix(" &"))
        sandbox = text.startswith("rootlet sandbox up")
        if command.interrupted or sandbox or text.endswith(" &"):
            self._until(process, shown if command.shown or not sandbox else re.compile("(?:.*\n)*.*Ctrl-C"), text)
            if command.interrupted:
                self._interrupt(process)
            else:
                self._background.append(process)
            return
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"$ {text}\nhas not ended after {PATIENCE} s") from None
        assert process.returncode == exit_code, f"$ {text}\nended with {process.returncode}:\n{output}"
        if command.shown:
            assert shown.fullmatch(plain(output)), f"$ {text}\nprinted:\n{output}\ninstead of:\n" + "\n".join(command.shown)

    def _here(self, text: str) -> str:
        for name, other in self._replaced.items():
            text = text.replace(name, other)
        return text

    def _start(self, text: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/bash", "-c", "\n".join([*self._before, text])],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _until(self, process: subprocess.Popen[str], shown: re.Pattern[str], text: str) -> str:
        output = ""
        overdue = threading.Timer(PATIENCE, process.kill)
        overdue.start()
        assert process.stdout
        for line in process.stdout:
            output += line
            if shown.match(plain(output)):
                overdue.cancel()
                return output
        overdue.cancel()
        raise AssertionError(f"$ {text}\nprinted:\n{output}\ninstead of what the page shows, then ended")

    def _interrupt(self, process: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE)
