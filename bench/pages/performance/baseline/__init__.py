"""What a user has today, in the plainest good form: one method in a fresh process.

transformers, PEFT and lm-eval alone: nothing here imports the harness.
`python -m bench.pages.performance.baseline JOB.json ANSWERS.json` loads a model, asks it, adapts
and trains it, asks again. Batches are sorted by length, padding is masked, generation and lm-eval
have proper batch sizes.
"""
