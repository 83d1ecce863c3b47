"""``rootlet cloud import-manifest --column``: a CSV is read by the headers that its supplier gave it."""

import base64
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.errors import BadInput
from rootlet.pki.authority import Authority


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cloud, ["import-manifest", *map(str, arguments)])


def test_a_suppliers_csv_is_read_by_the_headers_that_it_has(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    one, two = (authority.issue(f"supplier-{n}") for n in range(2))
    pem = one.certificate.public_bytes(Encoding.PEM).decode()
    der = base64.b64encode(two.certificate_der()).decode()
    sheet = tmp_path / "supplier.csv"
    sheet.write_text(f'Lot,Serial no.,Device cert\r\n7,module-1,"{pem}"\r\n7,,{der}\r\n')
    mapped = ("--column", "certificate=device CERT", "--column", "thing=Serial no.")
    assert run(sheet, *mapped).exit_code == 0
    for device in (one, two):
        found = aws.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
        assert found["status"] == "ACTIVE"
    assert aws.describe_thing(thingName="module-1") and aws.describe_thing(thingName="supplier-1")


@pytest.mark.parametrize(
    ("options", "words", "hint"),
    [
        ((), "has no column certificate", "--column certificate=HEADER"),
        (("certificate=Cert",), "has no column 'Cert'", "its columns are: Lot, Serial no., Device cert, Lot"),
        (("certificate=Device cert", "thing=Lot"), "has 2 columns 'Lot'", "its columns are"),
        (("certificate=Device cert", "serial=Lot"), "with one of the names certificate, thing", "for example"),
        (("certificate=Device cert", "certificate=Lot"), "names certificate twice", "one column"),
        (("certificate",), "not NAME=HEADER", "for example"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_those_that_are(
    options: tuple[str, ...], words: str, hint: str, tmp_path: Path
) -> None:
    sheet = tmp_path / "supplier.csv"
    sheet.write_text("Lot,Serial no.,Device cert,Lot\n7,module-1,x,7\n")
    error = run(sheet, *(word for option in options for word in ("--column", option))).exception
    assert isinstance(error, BadInput)
    assert words in error.what and hint in error.hint
