"""The prompt of Stanford Alpaca without an input, in which CorDA's code trains and asks.

Source: github.com/tatsu-lab/stanford_alpaca (`PROMPT_DICT`, `prompt_no_input`) and
github.com/iboing/CorDA (`train_model.py`), both Apache-2.0. The text is theirs, word for word.
"""

from __future__ import annotations

from tasks.form import Form

BEFORE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n"
)
AFTER = "\n\n### Response:"

LONGEST = 512
"""Tokens of a prompt and its response together, after which CorDA's code cuts both."""

ALPACA = Form(BEFORE, AFTER, space="", stop="", cut=LONGEST)
"""A response follows its prompt directly and ends with the end-of-sequence token."""
