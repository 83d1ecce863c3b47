"""Roots of a project's own: pinned in its file or on the command line, checked, embedded, and never a sandbox's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet import build_image
from rootlet.board import inspect_image
from rootlet.cli.board.image import command as image
from rootlet.cli.trust import chain, roots
from rootlet.errors import BadInput
from rootlet.sandbox import chain as sandbox_chain
from rootlet.trust import own_roots
from rootlet.trust.model import Certificate
from rootlet.trust.roots import load_manifest
from support.defects import CASES, Signed, intermediate, root, sign
from support.impostor import Impostor

CONFIG = '{"endpoint": "broker.example.com"}'


def pem(*signed: Signed) -> bytes:
    return b"".join(one.certificate.public_bytes(Encoding.PEM) for one in signed)


def digest(signed: Signed) -> str:
    return Certificate(signed.certificate.public_bytes(Encoding.DER)).fingerprint


def run(command: Any, *arguments: object) -> Any:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refusal(command: Any, *arguments: object) -> BadInput:
    error = run(command, *arguments).exception
    assert isinstance(error, BadInput), error
    return error


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a project, which commands run in, with a root of a partner."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(CONFIG)
    (tmp_path / "Partner Root.pem").write_bytes(pem(root()))
    return tmp_path


def built(*options: object) -> Any:
    done = run(image, "build", "--config", "config.json", "--app", "app.py", "-o", "flash.bin", "--json", *options)
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)


def test_a_root_is_pinned_once_and_every_image_of_the_project_trusts_it(project: Path) -> None:
    (project / "app.py").write_text("")
    spelled = digest(root()).upper()
    colons = ":".join(spelled[at : at + 2] for at in range(0, 64, 2))
    added = run(roots.command, "add", "Partner Root.pem", "--pin", colons)
    assert "roots.toml: pinned partner-root, EC P-256, until" in added.output, added.exception
    assert "nothing to change" in run(roots.command, "add", "Partner Root.pem", "--pin", spelled.lower()).output
    assert "partner-root" in run(roots.command, "list").stdout
    facts = built()
    assert facts["roots"] == ["amazon-root-ca-1", "amazon-root-ca-3", "partner-root"]
    assert (facts["own_roots"], facts["sandbox_root"]) == (["partner-root"], False)
    found = inspect_image.inspect(inspect_image.read(project / "flash.bin"))
    assert found.files["/roots/partner-root.der"] == root().certificate.public_bytes(Encoding.DER)
    assert found.json_file("/build.json")["own_roots"] == ["partner-root"]


def test_the_file_is_found_beside_the_configuration_and_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(roots.command, "add", "Partner Root.pem", "--pin", digest(root()))
    (project / "app.py").write_text("")
    monkeypatch.chdir("/")
    options = ["--config", project / "config.json", "--app", project / "app.py", "-o", project / "flash.bin"]
    done = run(image, "build", *options)
    assert f"own roots in {project}/roots.toml: partner-root" in done.output.replace("\n", "")
    assert "amazon-root-ca-1, amazon-root-ca-3, partner-root" in done.output
    made = build_image(
        project / "python.bin", json.loads(CONFIG), own_roots=project / "roots.toml", application=project / "app.py"
    )
    assert made.build["own_roots"] == ["partner-root"]


def test_a_root_and_its_pin_on_the_command_line_beside_one_of_amazons(project: Path) -> None:
    (project / "app.py").write_text("")
    other = sign("Other Root", ca=True)
    (project / "other.der").write_bytes(other.certificate.public_bytes(Encoding.DER))
    options = ["--root", "Partner Root.pem", "--root", "amazon-root-ca-4", "--root", "other.der"]
    facts = built(*options, "--pin", digest(root()), "--pin", digest(other))
    assert facts["roots"] == ["amazon-root-ca-1", "amazon-root-ca-3", "amazon-root-ca-4", "other", "partner-root"]
    assert facts["own_roots"] == ["other", "partner-root"]
    with pytest.raises(BadInput, match=r"other\.der is not the pinned root"):
        built(*options, "--pin", digest(root()), "--pin", digest(root()))
    with pytest.raises(BadInput, match="2 roots are of a file, and 1 pin is given"):
        built(*options, "--pin", digest(root()))
    with pytest.raises(BadInput, match="0 roots are of a file, and 1 pin is given"):
        built("--pin", digest(root()))
    with pytest.raises(BadInput, match="unknown root 'amazon-root-ca-9': neither a name nor a file"):
        built("--root", "amazon-root-ca-9")


def refused_roots() -> dict[str, tuple[Callable[[], bytes], str]]:
    v1_leaf = CASES["self_signed"]()
    return {
        "an intermediate": (lambda: pem(intermediate()), "is not a root: CN=Test Root issued it"),
        "two roots": (lambda: pem(root(), sign("B", ca=True)), "holds 2 certificates"),
        "an expired root": (lambda: pem(sign("Old", ca=True, valid=(-30, -1))), "expired on"),
        "a server": (lambda: v1_leaf.sent[0].public_bytes(Encoding.PEM), "is not the certificate of a CA"),
        "brainpool": (
            lambda: pem(sign("B", ca=True, key=ec.generate_private_key(ec.BrainpoolP256R1()))),
            "no device can load",
        ),
        "name constraints": (
            lambda: pem(sign("N", ca=True, constraints=x509.NameConstraints([x509.DNSName("x")], None))),
            "has a critical nameConstraints",
        ),
        "a sandbox's": (lambda: sandbox_chain.mint("us-east-1", "localhost").root, "is a sandbox's root"),
        "nothing": (lambda: b"nothing", "has no X.509 certificate"),
    }


@pytest.mark.parametrize("what", refused_roots())
def test_what_is_no_root_for_a_product_is_refused_though_the_pin_is_right(project: Path, what: str) -> None:
    make, words = refused_roots()[what]
    data = make()
    (project / "r.pem").write_bytes(data)
    try:
        sha256 = Certificate(x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)).fingerprint
    except ValueError:
        sha256 = "0" * 64
    assert words in refusal(roots.command, "add", "r.pem", "--pin", sha256).what
    assert not (project / "roots.toml").exists()


def test_a_pin_that_is_none_or_anothers_is_refused(project: Path) -> None:
    assert "'abc' is not a pin" in refusal(roots.command, "add", "Partner Root.pem", "--pin", "abc").what
    error = refusal(roots.command, "add", "Partner Root.pem", "--pin", "0" * 64)
    assert f"its SHA-256 is {digest(root())}, the pin says {'0' * 64}" in error.what
    assert not (project / "roots.toml").exists()


def test_one_of_amazons_roots_and_a_name_that_is_taken_are_refused(project: Path) -> None:
    amazon = load_manifest().roots[0]
    error = refusal(roots.command, "add", amazon.path, "--pin", amazon.sha256, "--name", "mine")
    assert "amazon-root-ca-1 and mine are one certificate" in error.what
    pinned = ["Partner Root.pem", "--pin", digest(root())]
    for name in ("amazon-root-ca-3", "sandbox", "Not A Name", "a\nb", ""):
        assert "name" in refusal(roots.command, "add", *pinned, "--name", name or "-").what
    run(roots.command, "add", *pinned)
    assert "are one certificate" in refusal(roots.command, "add", *pinned, "--name", "again").what


def test_a_root_that_changed_since_it_was_pinned_stops_the_build(project: Path) -> None:
    run(roots.command, "add", "Partner Root.pem", "--pin", digest(root()))
    (project / "app.py").write_text("")
    (project / "Partner Root.pem").write_bytes(pem(sign("Test Root", ca=True)))
    with pytest.raises(BadInput, match=r"roots\.toml, root 1: Partner Root\.pem is not the pinned root"):
        built()
    assert not (project / "flash.bin").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[root", "is not valid TOML"),
        ("", "has no list of [[root]] alone"),
        ("[[roots]]\nname = 1", "has no list of [[root]] alone"),
        ('[[root]]\nname = "a"\nfile = "b"', "root 1 does not have exactly name, file and sha256"),
        ('[[root]]\nname = "a"\nfile = "none.pem"\nsha256 = "x"', "root 1: 'x' is not a pin"),
    ],
)
def test_a_file_of_roots_that_is_not_right_is_named(project: Path, text: str, words: str) -> None:
    (project / "roots.toml").write_text(text)
    assert words in refusal(roots.command, "list").what


def test_chain_judges_by_the_projects_roots_too_and_which_knows_them(project: Path) -> None:
    case = CASES["sound"]()
    with Impostor(list(case.sent), case.key) as server:
        target = [f"{case.host}:{server.port}", "--address", "127.0.0.1"]
        assert run(chain.command, *target).exit_code == 1
        run(roots.command, "add", "Partner Root.pem", "--pin", digest(root()), "--name", "partner")
        judged = run(chain.command, *target)
        assert judged.exit_code == 0
        assert "(amazon-root-ca-1, amazon-root-ca-3, partner) would connect" in judged.output.replace("\n", " ")
        answer = json.loads(run(roots.command, "which", *target, "--json").stdout)
    assert answer["needed"] == {"ecdsa": "partner"}


def test_the_name_of_a_sandboxs_root_is_the_one_that_is_refused() -> None:
    root_of_sandbox = x509.load_pem_x509_certificate(sandbox_chain.mint("us-east-1", "localhost").root)
    assert Certificate(root_of_sandbox.public_bytes(Encoding.DER)).common_name == own_roots.SANDBOX_NAME
