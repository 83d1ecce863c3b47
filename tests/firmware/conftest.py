"""Runs pieces of ``leaf`` under the real Unix port."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from rootlet import resources
from rootlet.emulator.frozen import frozen_directory

RunLeaf = Callable[..., Any]


@pytest.fixture(scope="session")
def leaf() -> RunLeaf:
    """Run a script against the sources of ``leaf``; ``given`` is its input; what it passes to ``answer`` comes back.

    ``timeout`` in seconds, after which subprocess.TimeoutExpired is raised.
    """
    path = f"{resources.FIRMWARE}:{resources.SHIMS}:{frozen_directory()}:.frozen"
    prelude = "import json, os\ngiven = json.loads(os.getenv('GIVEN'))\ndef answer(v): print('ANSWER' + json.dumps(v))\n"

    def run(script: str, given: Any = None, timeout: float = 60) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "micropython_unix", "-c", prelude + script],
            env=os.environ | {"MICROPYPATH": path, "GIVEN": json.dumps(given)},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        answers = [line[6:] for line in done.stdout.splitlines() if line.startswith("ANSWER")]
        assert answers, done.stdout + done.stderr
        return json.loads(answers[-1])

    return run
