"""Long proofs of the parser's counting: `make chaos` and `make pythons` write what they saw to docs/proof/."""

import sys
from pathlib import Path

UNIT = Path(__file__).resolve().parents[1] / "unit"
sys.path.insert(0, str(UNIT))  # as pytest does: that folder is no package
