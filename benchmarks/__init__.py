"""Measurements of wonder_customers compared with alternatives: ``python -m benchmarks``.

Each public file answers one question. Only the ratios within one run are meaningful, because the speed of a machine
varies.
"""

import sys
from pathlib import Path

# A benchmark of a job uses the gateways and programs of its tests.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
