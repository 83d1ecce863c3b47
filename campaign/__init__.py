"""Long programs that look for what is rare, seed after seed: ``make campaign``; one alone: ``python -m campaign.NAME``."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path += [path for path in (str(_ROOT / "tests"), str(_ROOT / "bench")) if path not in sys.path]
