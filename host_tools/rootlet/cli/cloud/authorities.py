"""``rootlet cloud``: the CAs that the account trusts, and how their devices get in by themselves."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.cloud.common import first_certificate, show_changes
from rootlet.cli.options import PATH, json_option
from rootlet.cli.output import emit_json, err, out
from rootlet.cli.passphrase import SecretSource, open_authority, secret_options
from rootlet.errors import BadInput

if TYPE_CHECKING:
    pass


@panels.command(
    name="register-ca",
    epilog="""\b
Examples:
  rootlet cloud register-ca fleet-ca                      # prove possession and register, in one go
  rootlet cloud register-ca fleet-ca --auto-registration  # its devices may register themselves (JITR, JITP)
  rootlet cloud register-ca maker-ca.crt --sni-only       # without proof; its devices must send SNI
\b
Where somebody else holds the CA's key:
  rootlet cloud register-ca --request                     # what to send: the registration code
  rootlet ca prove-possession CODE --ca maker-ca          # is theirs
  rootlet cloud register-ca maker-ca.crt --complete verification.crt
""",
)
@click.argument("ca", required=False, type=PATH, metavar="[DIRECTORY|CERTIFICATE]")
@click.option("--request", is_flag=True, help="Print the account's registration code, and stop.")
@click.option("--complete", type=PATH, metavar="CERTIFICATE", help="The verification certificate that came back.")
@click.option("--sni-only", is_flag=True, help="Register without proof of possession.")
@click.option(
    "--auto-registration/--no-auto-registration", default=False, help="Whether its devices may register themselves."
)
@secret_options
@json_option
def register_ca(
    ca: Path | None,
    request: bool,
    complete: Path | None,
    sni_only: bool,
    auto_registration: bool,
    secret: SecretSource,
    as_json: bool,
) -> None:
    """Register a CA with the account. Running it again changes nothing."""
    from rootlet.cloud import authorities

    iot = account.iot()
    if request:
        code = authorities.registration_code(iot)
        if as_json:
            emit_json({"registration_code": code})
        else:
            out.print(code)
            err.print(f"send it to who holds the CA's key, to run: rootlet ca prove-possession {code} --ca DIRECTORY")
        return
    if ca is None:
        raise BadInput("no CA is named", hint="give its directory or its certificate, or --request")
    if complete and sni_only:
        raise BadInput("--complete and --sni-only exclude each other", hint="give one of them")
    certificate = first_certificate(ca / "ca.crt" if ca.is_dir() else ca)
    if complete or sni_only:
        verification = first_certificate(complete) if complete else None
        done = authorities.register(iot, certificate, verification=verification, auto_registration=auto_registration)
    elif not ca.is_dir():
        raise BadInput(f"{ca} is a certificate without its key", hint="use --request and --complete, or --sni-only")
    else:
        with open_authority(ca, secret) as authority:
            done = authorities.register(iot, certificate, authority=authority, auto_registration=auto_registration)
    show_changes(asdict(done), done.changes, f"nothing to change: CA {done.id} is registered", as_json)


COMMANDS = (register_ca,)
