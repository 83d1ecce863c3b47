"""What shadow and jobs keep: nothing that was desired is lost, and nothing that has ended is done again."""

from pathlib import Path
from typing import Any

import pytest

from .conftest import RunLeaf

BOOT = """
import asyncio
from leaf import state
state.DIRECTORY = given["directory"]
class Device:
    services = []
    def wake(self): pass
ran = []
async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)
"""

JOBS = """
from leaf.services.jobs import Jobs
jobs = Jobs(Device())
@jobs.operation("count")
def count(job):
    ran.append(job.resumed)
    return {"counted": len(ran)}
def answers():
    message = jobs.next()
    return [message[0], json.loads(message[1])] if message else None
async def main():
    jobs.bind("t")
    jobs.connected()
    asked = answers()
    execution = {"jobId": "j", "executionNumber": given["number"], "jobDocument": {"operation": given["operation"]}}
    jobs.on("start-next/accepted", {"execution": execution})
    kept = []
    for _ in range(20):
        await asyncio.sleep(0)
        if jobs.waiting and not kept:
            kept.append(state.read("job.json", {}))
    answer({"ran": ran, "asked": asked, "said": answers(), "kept": kept})
asyncio.run(main())
"""

SHADOW = """
from leaf.services.shadow import Shadow
shadow = Shadow(Device())
gate = asyncio.Event()
@shadow.setting("slow", 1)
async def slow(value):
    ran.append(["slow", value])
    if value == 2:
        await gate.wait()
@shadow.setting("quick", 1)
def quick(value):
    ran.append(["quick", value])
def sent():
    message = shadow.next()
    return [json.loads(message[1])["state"]["reported"], message[2]] if message and message[1] else message
async def boot():
    shadow.bind("t")
    await turns()
"""


def one_job(leaf: RunLeaf, directory: Path, *, number: int = 1, operation: str = "count") -> Any:
    return leaf(BOOT + JOBS, {"directory": str(directory), "number": number, "operation": operation})


def shadow(leaf: RunLeaf, directory: Path, script: str) -> Any:
    return leaf(BOOT + SHADOW + script + "\nasyncio.run(main())", {"directory": str(directory)})


def test_a_job_that_has_ended_is_not_run_again_after_a_reboot_but_reported(leaf: RunLeaf, tmp_path: Path) -> None:
    """The power goes before its result is with the cloud, which then offers the same execution again, and again."""
    done = ["$aws/things/t/jobs/j/update", {"status": "SUCCEEDED", "statusDetails": {"counted": "1"}}]
    first = one_job(leaf, tmp_path)
    assert first["asked"] == ["$aws/things/t/jobs/start-next", {}]
    assert (first["ran"], first["said"]) == ([False], done)
    for _ in range(2):
        again = one_job(leaf, tmp_path)
        assert (again["ran"], again["said"]) == ([], done)


def test_the_result_of_a_job_is_in_flash_before_it_is_sent(leaf: RunLeaf, tmp_path: Path) -> None:
    assert one_job(leaf, tmp_path)["kept"] == [
        {"id": "j", "number": 1, "status": "SUCCEEDED", "details": {"counted": "1"}},
    ]


@pytest.mark.parametrize(("number", "operation"), [(2, "count"), (2, "unknown")])
def test_a_new_execution_of_the_same_job_is_run(leaf: RunLeaf, tmp_path: Path, number: int, operation: str) -> None:
    one_job(leaf, tmp_path)
    retried = one_job(leaf, tmp_path, number=number, operation=operation)
    assert retried["ran"] == ([False] if operation == "count" else [])
    assert retried["said"][1]["status"] == ("SUCCEEDED" if operation == "count" else "REJECTED")


def test_what_is_desired_while_another_value_is_being_taken_is_not_lost(leaf: RunLeaf, tmp_path: Path) -> None:
    """Two settings at once, and a second value for the one that is busy: each is applied, and the last is reported."""
    ran, reported = shadow(
        leaf,
        tmp_path,
        """
async def main():
    await boot()
    shadow.on("update/delta", {"version": 2, "state": {"slow": 2}})
    await turns()
    shadow.on("update/delta", {"version": 3, "state": {"quick": 3}})
    shadow.on("update/delta", {"version": 4, "state": {"slow": 4, "quick": 5}})
    await turns()
    gate.set()
    await turns(60)
    answer([ran, shadow.reported])
""",
    )
    assert ran[0] == ["slow", 2] and ["slow", 4] in ran and ["quick", 5] in ran
    assert reported == {"slow": 4, "quick": 5}


def test_what_is_desired_while_a_report_is_on_its_way_is_reported_after_it(leaf: RunLeaf, tmp_path: Path) -> None:
    first, meanwhile, second = shadow(
        leaf,
        tmp_path,
        """
async def main():
    await boot()
    shadow.on("get/rejected", {"code": 404})
    first, done = sent()
    shadow.on("update/delta", {"version": 2, "state": {"quick": 7}})
    await turns()
    meanwhile = sent()
    done(True)
    answer([first, meanwhile, sent()[0]])
""",
    )
    assert first == {"slow": 1, "quick": 1}
    assert meanwhile is None
    assert second == {"quick": 7}


def test_the_desired_state_of_a_shadow_that_is_asked_for_is_taken(leaf: RunLeaf, tmp_path: Path) -> None:
    """What was desired while the device was off comes with the answer to its question."""
    ran = shadow(
        leaf,
        tmp_path,
        """
async def main():
    await boot()
    shadow.on("get/accepted", {"version": 5, "state": {"desired": {"quick": 9}, "reported": {"quick": 1}}})
    await turns()
    answer(ran)
""",
    )
    assert ran == [["quick", 9]]


@pytest.mark.parametrize("ending", ["    for _ in range(10):\n        shadow.tick()", "    shadow.leave()"])
def test_an_accepted_setting_holds_after_a_reboot_without_the_cloud(leaf: RunLeaf, tmp_path: Path, ending: str) -> None:
    """It is in flash after ten seconds, or as soon as the device is told to restart."""
    taken = f"""
async def main():
    await boot()
    shadow.on("update/delta", {{"version": 2, "state": {{"quick": 6}}}})
    await turns()
{ending}
    answer(ran)
"""
    assert shadow(leaf, tmp_path, taken) == [["quick", 6]]
    after = shadow(leaf, tmp_path, "async def main():\n    await boot()\n    answer([ran, shadow['quick']])")
    assert after == [[["quick", 6]], 6]
