"""MetaMathQA: worked solutions of school problems (Yu et al. 2023, arXiv 2309.12284)."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.base import task
from tasks.skills._instructions import Instructions


@task("metamath")
@dataclass(frozen=True)
class MetaMath(Instructions):
    """MetaMathQA: mathematics in worked steps, made from the training problems of GSM8K and MATH.

    Responses end with `The answer is: ...`, which `--evaluate gsm8k,math` reads.
    """

    source = "meta-math/MetaMathQA, the first 100,000 rows of train"
    licence = "MIT"
    dataset = "meta-math/MetaMathQA"
    instruction = "query"
    response = "response"
