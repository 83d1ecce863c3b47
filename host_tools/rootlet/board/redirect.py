"""A running ``leaf`` sent to another endpoint for a while, and back again.

It is done as the device itself does it: settings over its config.json (leaf/config.py), which is not touched. What must be
undone is noted on the board first, so that whoever has its port can undo it, whatever became of the host that began.
"""

from collections.abc import Mapping

from rootlet.board.repl import Repl
from rootlet.errors import RootletError

NOTE = "redirect.json"
"""Under /state of the board: the settings as they were (overrides) and the roots that are not its own (roots)."""

_BEGIN = """
from leaf import config, state
note = state.read({note!r}, {{}})
if "overrides" not in note:
    note = {{"overrides": state.read("config.json", {{}})}}
note["roots"] = {roots!r}
state.write({note!r}, note)
if state.read({note!r}, {{}}) != note:
    raise OSError("its flash is full")
"""
_POINT = """
from leaf import config, state
there = dict(state.read({note!r}, {{}})["overrides"])
there.update({settings!r})
config.override(there)
print(state.read("config.json", {{}}) == there)
"""
_END = """
import os
from leaf import state
note = state.read({note!r}, {{}})
for name in note.get("roots", ()):
    try:
        os.remove(name)
    except OSError:
        pass
if note:
    state.write("config.json", note["overrides"])
    if state.read("config.json", {{}}) != note["overrides"]:
        raise OSError("its flash is full")
    os.remove(state.DIRECTORY + "/" + {note!r})
print(bool(note))
"""


def begin(board: Repl, endpoint: str, port: int, roots: Mapping[str, bytes]) -> None:
    """From its next start on the board connects there, and trusts ``roots`` (name to DER) beside its own.

    Raises RootletError where ``leaf`` is not there, does not take the settings, or has no room for them.
    """
    files = {f"/roots/{name}.der": data for name, data in roots.items()}
    board.execute(_BEGIN.format(note=NOTE, roots=list(files)))
    for name, data in files.items():
        board.write(name, data)
    if board.execute(_POINT.format(note=NOTE, settings={"endpoint": endpoint, "port": port})).strip() != b"True":
        raise RootletError(f"the board on {board.port} cannot keep its settings", hint="free space on it, or flash it")


def end(board: Repl) -> bool:
    """Undo it, the trust first. False where there was nothing to undo."""
    return board.execute(_END.format(note=NOTE)).strip() == b"True"
