"""What an application publishes and subscribes to is read from its source, which is never run."""

from pathlib import Path

import pytest
from rootlet import resources
from rootlet.errors import BadInput
from rootlet.policies.application import Use, read


def names(uses: tuple[Use, ...]) -> list[str]:
    return [use.name for use in uses]


def write(directory: Path, text: str, name: str = "main.py") -> Path:
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text(text)
    return directory / name


def test_the_applications_that_come_with_leaf_are_read() -> None:
    sample = read(resources.FIRMWARE / "apps" / "sample")
    assert names(sample.streams) == ["climate"]
    assert not sample.topics + sample.services + sample.unread
    qualification = read(resources.FIRMWARE / "apps" / "qualification")
    assert names(qualification.streams) == ["reading"]
    assert sorted(names(qualification.services)) == ["jobs", "shadow"]


def test_the_examples_of_the_firmware_page_are_read(tmp_path: Path) -> None:
    page = (resources.FIRMWARE.parent / "docs" / "firmware.md").read_text()
    first, second = [block.partition("```")[0] for block in page.split("```python\n")[1:3]]
    application = read(write(tmp_path, first + second))
    assert sorted(names(application.streams)) == ["climate", "meter"]
    assert names(application.topics) == ["fleet/news"]
    assert sorted(names(application.services)) == ["jobs", "shadow"]
    assert not application.unread


def test_every_way_to_write_it_is_found(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
import leaf
from leaf.services.shadow import Shadow as Twin
import parts.power

NEWS = "fleet/news"
device = board = leaf.Device()
room = Twin(device, name="room")

def climate(): ...
device.telemetry(every=5)(climate)

@board.subscribe(NEWS)
def news(topic, payload, duplicate):
    device.record(stream="heard", reading={})
""",
    )
    write(
        tmp_path,
        """
class Power:
    def __init__(self, device):
        self.device = device
    def sample(self):
        self.device.record("power", {"w": 1}, durable=True)
    def other(self, log):
        log.record("not a stream")
""",
        "parts/power.py",
    )
    application = read(tmp_path)
    assert sorted(names(application.streams)) == ["climate", "heard", "power"]
    assert names(application.topics) == ["fleet/news"]
    assert names(application.services) == ["shadow:room"]
    assert next(use.place for use in application.streams if use.name == "power") == "parts/power.py:6"


def test_what_is_worked_out_at_run_time_is_listed_with_its_place(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """from leaf import Device
device = Device()
NAME = "a"
NAME = "b"
for name in ("x", "y"):
    device.record(name, {})
device.record(NAME, {})
@device.subscribe("fleet/" + NAME)
def heard(*_): ...
""",
    )
    assert sorted(use.place for use in read(source).unread) == ["main.py:6", "main.py:7", "main.py:8"]


def test_the_application_is_never_run(tmp_path: Path) -> None:
    source = write(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    read(source)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("text", "why"), [("def x(:\n", "does not parse"), ("x = '\0'\n", "")])
def test_what_is_no_application_is_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadInput, match=f"main.py .*{why}"):
        read(write(tmp_path, text))
    (tmp_path / "main.py").unlink()
    with pytest.raises(BadInput, match="there is no application in"):
        read(tmp_path)
