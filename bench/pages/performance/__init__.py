"""How fast this benchmark is beside the usual tools: `python -m bench.pages.performance`.

Both sides run in turn on this machine and must find the same numbers; see docs/performance.md.
"""
