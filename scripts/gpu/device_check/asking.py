"""Stage `answers`: greedy answers of ours and of `generate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.evaluation.responses import budget_for
from bench.inference.decoding import stop_tokens
from bench.inference.generation import greedy_answers
from device_check.machine import attached, planned
from device_check.timing import timed

if TYPE_CHECKING:
    from device_check.machine import Check

QUESTIONS, AT_ONCE = 64, 32


def answers(check: Check) -> None:
    """Time the answers to 64 questions after demonstrations, and count how many are equal."""
    base = check.base(check.shape)
    _, [cell] = planned(check, base.name, ["lora"], limit=QUESTIONS)
    facts, tokenizer, model = cell.data.facts, base.tokenizer, attached(base, cell).model
    budget, said = budget_for(tokenizer, facts), dict[str, list[str]]()
    prompts = [cell.data.prompt.few_shot(fact.question) for fact in facts]

    def ours() -> None:
        said["ours"] = greedy_answers(model, tokenizer, prompts, budget=budget)

    def generate() -> None:
        said["generate"] = []
        for start in range(0, len(prompts), AT_ONCE):
            asked = prompts[start : start + AT_ONCE]
            batch = tokenizer(asked, padding=True, return_tensors="pt").to(check.device)
            found = model.generate(
                **batch,
                do_sample=False,
                min_new_tokens=1,
                max_new_tokens=budget,
                eos_token_id=list(stop_tokens(tokenizer)),
                pad_token_id=tokenizer.pad_token_id,
            )
            new = found[:, batch["input_ids"].shape[1] :]
            texts = tokenizer.batch_decode(new, skip_special_tokens=True)
            said["generate"] += [text.split("\n")[0].strip() for text in texts]

    sides: dict[str, Callable[[], None]] = {"ours": ours, "generate": generate}
    rows = [{"side": name, "s": timed(check, run, 2)} for name, run in sides.items()]
    equal = sum(a == b for a, b in zip(said["ours"], said["generate"], strict=True))
    title = f"{len(prompts)} answers of {budget} tokens, {check.shape}"
    check.tell(title, [row | {"equal": equal} for row in rows])
