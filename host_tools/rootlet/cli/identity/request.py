"""``rootlet device csr``: the request of a key that a board makes itself."""

from pathlib import Path

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.options import PATH, SERIAL_PORT, baud_option, json_option
from rootlet.cli.output import emit_json, err, out


@panels.command(
    name="csr",
    epilog="""\b
Examples:
  rootlet device csr sensor-1 --port /dev/ttyUSB0
  rootlet device issue --csr sensor-1.csr --ca fleet-ca
  rootlet flash --certificate devices/sensor-1/certificate.pem --port /dev/ttyUSB0
""",
)
@click.argument("thing")
@click.option("--port", type=SERIAL_PORT, help="As pyserial names it. Found where there is just one.")
@baud_option(115_200)
@click.option("-o", "--output", type=PATH, help="Default: THING.csr here.")
@json_option
def command(thing: str, port: str | None, baud: int, output: Path | None, as_json: bool) -> None:
    """Fetch the request of a key that a board makes for THING.

    The board carries an image without an identity. Its private key lies in its credential partition from then on and never
    leaves it; until the certificate is there, the same request comes each time. The application is stopped for it.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from rootlet.board import birth
    from rootlet.board.chip import find_port
    from rootlet.board.repl import Repl
    from rootlet.files import check_writable, write_atomic
    from rootlet.pki import csr
    from rootlet.pki.subject import check_thing_name

    check_thing_name(thing)
    place = output or Path(f"{thing}.csr")
    check_writable(place)
    with Repl(port or find_port(), baud) as board:
        err.print("the board makes a key and signs: some seconds")
        request = birth.request(board, thing)
    csr.check(request, thing)
    write_atomic(place, request.public_bytes(Encoding.PEM))
    if as_json:
        emit_json({"thing": thing, "port": board.port, "request": str(place)})
        return
    out.print(f"wrote {escape(str(place))}, a request of the key on {escape(board.port)} for {escape(thing)}")
