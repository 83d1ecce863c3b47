"""``rootlet factory open``: a batch is checked whole, refused by row and column, and entered as it was ordered."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command as alembic
from alembic.config import Config
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rootlet import factory as factory_package
from rootlet.cli.factory.group import command
from rootlet.errors import BadInput
from rootlet.factory import orders, views
from rootlet.factory.books import verify_books
from rootlet.factory.database import Database
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import RegistrationMode
from rootlet.pki.authority import Authority

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ROOTLET_LEDGER", str(tmp_path / "factory.db"))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str | Path) -> str:
        result = CliRunner().invoke(command, [str(argument) for argument in arguments])
        if result.exception is not None:
            raise result.exception
        return result.output

    return invoke


def refusal(tmp_path: Path, text: str, encoding: str = "utf-8") -> str:
    path = tmp_path / "batch.csv"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(BadInput) as refused:
        orders.from_csv(path)
    return refused.value.what


def test_a_batch_whose_name_has_a_line_break_is_not_entered(run: Run, authority: Authority) -> None:
    for options in (("--batch-name", "mon\nday"), ("--customer", "Ac\nme")):
        with pytest.raises(BadInput, match="cannot be printed"):
            run("open", "x", "--count", "1", "--pattern", "x-#", "--ca", authority.directory, *options)
    assert "nothing" in run("status") or "mon" not in run("status")


def test_a_batch_is_opened_as_its_file_says(run: Run, tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "monday.csv").write_text(
        f"\ufeffthing,serial,line,board,ca,registration\nm-1,SN-1,a,esp32_generic_c3,{authority.directory},deferred\n\n"
        f"m-2,,b,esp32_generic_c3,{authority.directory},deferred\n"
    )
    told = json.loads(run("open", "monday.csv", "--organization", "Tests", "--json"))
    assert (told["batch"], told["things"], told["customer"]) == ("monday", 2, "Tests")
    database = Database(tmp_path / "factory.db")
    plan = Ledger(database, station="x").plan("monday")
    assert (plan.board, plan.registration, plan.subject) == (
        "esp32_generic_c3",
        RegistrationMode.DEFERRED,
        {"organization": "Tests"},
    )
    lines = list(views.lines(database, "monday"))
    assert [(line.thing, line.serial, line.attributes) for line in lines] == [
        ("m-1", "SN-1", {"line": "a"}),
        ("m-2", None, {"line": "b"}),
    ]
    assert verify_books(database).findings == []
    assert "m-1,SN-1,monday,Tests,open" in run("export", "monday")
    assert "monday" in run("status")
    database.close()


def test_a_count_and_a_pattern_do_without_a_file(run: Run, tmp_path: Path, authority: Authority) -> None:
    run("open", "tuesday", "--count", "3", "--pattern", "t-##", "--first", "8", "--ca", authority.directory)
    database = Database(tmp_path / "factory.db")
    assert [line.thing for line in views.lines(database, "tuesday")] == ["t-08", "t-09", "t-10"]
    database.close()


def test_every_bad_cell_is_named_by_row_and_column_and_nothing_is_entered(run: Run, tmp_path: Path) -> None:
    text = "thing,serial,line\ngood,S1,a\nbad name,S2,b\ngood,S1,c d\n\nlast,S*,e\nx,1,2,3\n"
    what = refusal(tmp_path, text)
    assert what.splitlines()[0].endswith("6 cells are not valid")
    for part in (
        "row 3, column thing: 'bad name' is not a thing name",
        "row 4, column serial: S1 is already in row 2",
        "row 4, column thing: good is already in row 2",
        "row 4, column line: 'c d' is not an attribute's value",
        "row 6, column serial:",
        "row 7, column 4: the header has no such column",
    ):
        assert part in what
    with pytest.raises(BadInput):
        run("open", "batch.csv", "--ca", "nowhere")
    assert not (tmp_path / "factory.db").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "row 1 has no column thing or serial"),
        ("name\nx\n", "row 1 has no column thing or serial"),
        ("thing\n", "has no rows"),
        ("thing,a,b,c,d\nx,1,2,3,4\n", "4 attributes"),
        ("thing,a,a\nx,1,2\n", "row 1, column a: it occurs twice"),
        ("thing,,b\nx,1,2\n", "row 1, column 2: it has no name"),
        ("thing,board\nx,esp32_generic\ny,esp32_generic_s3\n", "row 3, column board: esp32_generic_s3, but row 2 has"),
        ('thing\n"x\n', "is not a CSV file"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_a_file_in_another_encoding_is_refused_and_semicolons_are_understood(tmp_path: Path) -> None:
    assert "not UTF-8" in refusal(tmp_path, "thing\nGerät\n", "latin-1")
    (tmp_path / "batch.csv").write_text("serial;line\r\nSN-1;a\r\n")
    order = orders.from_csv(tmp_path / "batch.csv")
    assert [(identity.thing, identity.serial) for identity in order.identities] == [("SN-1", "SN-1")]


def test_things_of_an_earlier_batch_are_refused_by_row(run: Run, tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "a.csv").write_text("thing\nx-1\nx-2\n")
    (tmp_path / "b.csv").write_text("thing\nx-3\nx-2\n")
    run("open", "a.csv", "--ca", authority.directory)
    with pytest.raises(BadInput, match="row 3, column thing: x-2 is already in the ledger"):
        run("open", "b.csv", "--ca", authority.directory)
    with pytest.raises(BadInput, match=r"--ca is .*, and the file says"):
        (tmp_path / "c.csv").write_text("thing,ca\nx-4,elsewhere\n")
        run("open", "c.csv", "--ca", authority.directory)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_whatever_the_file_holds_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("thing,serial,a\n" + text, encoding="utf-8", newline="")
    try:
        order = orders.from_csv(path)
    except BadInput:
        return
    assert len({identity.thing for identity in order.identities}) == len(order.rows)


def test_a_ledger_of_the_first_kind_is_brought_up_to_date(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/old.db")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(factory_package.__path__[0]) / "migrations"))
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0001")
        connection.execute(sa.text("INSERT INTO batches (name) VALUES ('old')"))
    engine.dispose()
    database = Database(tmp_path / "old.db")
    assert verify_books(database).findings == []
    with pytest.raises(BadInput, match="old was opened without a board type"):
        Ledger(database, station="x").plan("old")
    database.close()
