"""What the commands print: results to stdout, errors and progress to stderr, JSON for machines."""

import json
from typing import Any

from rich.console import Console

# rich drops colour by itself when the stream is not a terminal or NO_COLOR is set.
# No emoji: rich would make one of the :AB: in a fingerprint.
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def emit_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout, uncoloured and unwrapped."""
    out.file.write(json.dumps(value, indent=2, default=str) + "\n")
