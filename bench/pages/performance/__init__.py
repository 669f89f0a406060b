"""How much sooner than with the usual tools, on this machine: `python -m bench.pages.performance`.

Both sides run in one sequence and must find the same; see docs/performance.md.
"""
