"""Puts ``programs.py``, which the tests of this folder share, on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
