"""`python -m bench`."""

import gc
import sys

from bench.cli import main

if __name__ == "__main__":
    status = main()
    gc.freeze()  # at its end Python searches all that is left, a second for ten thousand cells
    sys.exit(status)
