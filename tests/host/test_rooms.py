"""The rooms of the host package import downwards only, and those below the cloud nothing of AWS."""

import ast
from pathlib import Path

import pytest
import rootlet

PACKAGE = Path(rootlet.__file__).parent
ROOMS: dict[str, set[str]] = {
    "pki": set(),
    "trust": {"pki"},
    "policies": {"pki", "trust"},
    "sandbox": {"pki", "trust", "policies"},
    "board": {"pki", "trust"},
    "emulator": {"board", "pki", "trust"},
    "cloud": {"pki", "trust", "policies"},
    "advisor": {"board", "cloud", "emulator", "pki", "policies", "sandbox", "trust"},
    "factory": {"board", "cloud", "pki", "policies", "trust"},
}
AWS = {"boto3", "botocore"}
WITHOUT_AWS = {"trust", "policies", "board", "emulator"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports: at its top, inside functions, and for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_the_rooms_below_it_only(room: str) -> None:
    used = {
        name.split(".")[1]: str(path.relative_to(PACKAGE))
        for path in (PACKAGE / room).rglob("*.py")
        for name in imported(path)
        if name.startswith("rootlet.") and name.split(".")[1] in {*ROOMS, "cli"}
    }
    assert {other: path for other, path in used.items() if other not in ROOMS[room] | {room}} == {}


@pytest.mark.parametrize("room", sorted(WITHOUT_AWS))
def test_a_room_below_the_cloud_imports_nothing_of_aws(room: str) -> None:
    assert [
        path.name for path in (PACKAGE / room).rglob("*.py") if {name.split(".")[0] for name in imported(path)} & AWS
    ] == []
