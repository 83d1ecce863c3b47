"""The certificates that the advisor's endpoint shows."""

from pathlib import Path

import pytest
from rootlet.advisor.chains import HOST, Chains


@pytest.mark.parametrize("name", ["localhost", HOST])
def test_chains_are_as_large_as_awss(name: str) -> None:
    """3 KiB as a rule, 20% more for Device Advisor's large certificate, and one that nearly fills a record."""
    chains = Chains.mint([name])
    assert {chain.size for chain in (chains.good, chains.wrong_name, chains.expired, chains.unknown_root)} == {3072}
    assert chains.large.size == 3687
    assert chains.huge.size == 15 * 1024


def test_kept_roots_are_the_same_the_next_time(tmp_path: Path) -> None:
    first, second = (Chains.kept(tmp_path / "state", ["localhost"]) for _ in range(2))
    assert first.roots_pem == second.roots_pem
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state").glob("*.key")} == {0o600}
