"""The baseline: what a user would write today, well and plainly, one method per process.

It uses transformers, PEFT and lm-eval alone and imports nothing of this benchmark.
`python -m bench.pages.performance.baseline JOB.json FOUND.json` loads a model, asks it, adapts and
trains it, and asks again. Batches are sorted by length, padding is masked, and generation and
lm-eval run in batches.
"""
