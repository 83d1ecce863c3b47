"""``rootlet boards``: what an image can be built for."""

from dataclasses import asdict

from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.options import json_option
from rootlet.cli.output import emit_json, out


@panels.command(
    epilog="""\b
Examples:
  rootlet boards
  rootlet boards --json
"""
)
@json_option
def command(as_json: bool) -> None:
    """List the boards that an image can be built for."""
    from rootlet.board.definition import list_boards

    boards = list_boards()
    if as_json:
        emit_json([{**asdict(board), "pins": dict(board.pins)} for board in boards])
        return
    for board in boards:
        sizes = "/".join(str(size >> 20) for size in board.flash_sizes)
        out.print(f"{board.id:<20} {board.chip:<8} {sizes + ' MiB':<11} {escape(board.name)}")
        if board.secure_element:
            out.print(f"{'':<41} [dim]{escape(board.secure_element)}[/]")
