"""`python -m bench`."""

import gc
import sys

from bench import ROOT

# `python -m` puts the current folder first on the path. Unless this program lies there, drop it:
# somebody's `tasks.py` or `methods/` would be imported in place of ours.
if not sys.flags.safe_path and sys.path[0] != str(ROOT):
    del sys.path[0]

from bench.cli import main

if __name__ == "__main__":
    status = main()
    gc.freeze()  # at its end Python searches all that is left, a second for ten thousand cells
    sys.exit(status)
