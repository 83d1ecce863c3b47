"""The certificates that the advisor's endpoint shows."""

from pathlib import Path

from rootlet.advisor.chains import LARGER, Chains


def test_the_large_certificate_is_larger_by_as_much_as_device_advisors_and_the_huge_one_fits_a_record() -> None:
    chains = Chains.mint(["localhost"])
    assert chains.large.size == chains.good.size + LARGER
    assert 15 * 1024 <= chains.huge.size < 16384


def test_kept_roots_are_the_same_the_next_time(tmp_path: Path) -> None:
    first, second = (Chains.kept(tmp_path / "state", ["localhost"]) for _ in range(2))
    assert first.roots_pem == second.roots_pem
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state").glob("*.key")} == {0o600}
