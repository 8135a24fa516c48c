"""Measurements of wonder_customers beside what a user would take instead: ``python -m benchmarks``.

Each public file asks one question. What counts are the ratios inside one run: machines differ, and so do days.
"""

import sys
from pathlib import Path

# A benchmark of a job uses the gateways and programs of its tests.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
