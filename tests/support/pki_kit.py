"""What these tests share besides fixtures."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PASSPHRASE = "correct horse battery staple"


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Rootlet = Callable[..., Ran]
