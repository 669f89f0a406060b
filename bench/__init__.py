"""The harness: grid, runner, training, evaluation, results, report and command line."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The checkout, or the folder of installed packages, that holds this program."""
