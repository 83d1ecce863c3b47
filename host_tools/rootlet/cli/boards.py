"""``rootlet boards``: what an image can be built for."""

import click

from rootlet.cli.output import emit_json, out


@click.command(
    epilog="""\b
Examples:
  rootlet boards
  rootlet boards --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print the boards as JSON.")
def command(as_json: bool) -> None:
    """List the boards that an image can be built for. Adding one is adding a folder to boards/."""
    from rootlet.board.definition import list_boards

    boards = list_boards()
    if as_json:
        emit_json([{"id": b.id, "name": b.name, "chip": b.chip, "flash_size": b.flash_size} for b in boards])
        return
    for board in boards:
        out.print(f"{board.id:<24} {board.name}")
