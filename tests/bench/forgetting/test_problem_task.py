"""Sets of problems, and tasks of lm-eval, as measures of what was learned."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from bench.forgetting.lm_eval_catalog import lm_eval_harness_task
from bench.forgetting.problem_task import problem_task
from bench.forgetting.scores import ItemScores, learned
from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.problems.gsm8k import Gsm8k

ROWS = [{"question": f"{i} plus one?", "answer": f"add\n#### {i % 2}"} for i in range(8)]


@pytest.fixture
def local(tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "gsm8k_test.jsonl").write_text(text)
    return DataAccess(tmp_path)


@pytest.fixture
def asked(monkeypatch):
    """Let any model answer by a digest of the whole prompt; return what it was asked."""
    from lm_eval.models.huggingface import HFLM

    requests = []

    def generate_until(self, given, disable_tqdm=False):
        requests.extend(request.args for request in given)
        digits = [hashlib.sha256(r.args[0].encode()).digest()[0] % 2 for r in given]
        return [f" It is.\n#### {digit}\nThe answer is: {digit}\n" for digit in digits]

    monkeypatch.setattr(HFLM, "generate_until", generate_until)
    return requests


def test_lm_evals_gsm8k_on_a_local_file_scores_as_lm_eval_itself(tiny_base, local, asked):
    import lm_eval
    from datasets import Dataset
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    found = lm_eval_harness_task("gsm8k", local, limit=6).score(tiny_base, tiny_base.model)
    ours = [prompt for prompt, _ in asked]
    asked.clear()
    # Its own task, with nothing changed but where its rows come from.
    own = yaml.safe_load((Path(lm_eval.tasks.__file__).parent / "gsm8k/gsm8k.yaml").read_text())
    split = Dataset.from_list(ROWS)
    own |= {"task": "twin", "training_split": None, "fewshot_split": "test"}
    own |= {"custom_dataset": lambda **_: {"test": split}}
    del own["tag"]
    result = lm_eval.simple_evaluate(
        HFLM(pretrained=tiny_base.model, tokenizer=tiny_base.tokenizer, batch_size=1),
        tasks=[own],
        task_manager=TaskManager(include_defaults=False),
        limit=6,
        bootstrap_iters=0,
    )
    samples = [s for s in result["samples"]["twin"] if s["filter"] == "strict-match"]
    assert [prompt for prompt, _ in asked] == ours
    assert list(found.items) == [sample["exact_match"] for sample in samples]
    assert found.mean == result["results"]["twin"]["exact_match,strict-match"]
    assert {*found.items} == {0.0, 1.0}


def test_problems_are_asked_in_the_published_prompt_and_scored_by_their_rules(
    tiny_base, local, asked
):
    task = problem_task("gsm8k", local, limit=6)
    scores = task.score(tiny_base, tiny_base.model)
    prompts = [Gsm8k.before + row["question"] + Gsm8k.after for row in ROWS[:6]]
    assert [prompt for prompt, _ in asked] == prompts
    for _, options in asked:
        assert {*Gsm8k.stops} <= {*options["until"]}
        assert options["max_gen_toks"] == 512, "half of what the two-layer model reads"
        assert not options["do_sample"]
    right = [
        hashlib.sha256(prompt.encode()).digest()[0] % 2 == row_number % 2
        for row_number, prompt in enumerate(prompts)
    ]
    assert [bool(item) for item in scores.items] == right
    assert (scores.task, scores.metric, scores.floor) == ("gsm8k", "exact_match", 0.0)


def test_an_answer_ends_where_the_model_begins_another_instruction(tiny_base, local, monkeypatch):
    monkeypatch.setattr(Gsm8k, "longest", 4)
    task = problem_task("gsm8k", local, limit=2)
    first = task.score(tiny_base, tiny_base.model)
    assert task.score(tiny_base, tiny_base.model) == first, "greedy"
    assert {*first.items} == {0.0}


def test_other_problems_or_another_prompt_are_other_content(local, monkeypatch):
    contents = {problem_task("gsm8k", local, limit).content for limit in (None, 4)}
    monkeypatch.setattr(Gsm8k, "after", "\n")
    contents.add(problem_task("gsm8k", local, None).content)
    assert len(contents) == 3


def test_what_was_learned_is_paired_with_the_base():
    scores = [ItemScores("t", "acc", items, 0.0, "same") for items in ((0.0, 1.0), (1.0, 1.0))]
    found = learned(*scores, limit=5)
    assert (found.base, found.tuned, found.limit) == (0.5, 1.0, 5)
    assert (found.base_items, found.tuned_items) == ([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="items differ"):
        learned(scores[0], ItemScores("t", "acc", (1.0,), 0.0, "other"), limit=5)


def test_problems_without_data_are_told_in_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"gsm8k_test\.jsonl") as raised:
        problem_task("gsm8k", DataAccess(tmp_path), None)
    assert "\n" not in str(raised.value)
    (tmp_path / "gsm8k_test.jsonl").write_text("")
    with pytest.raises(UsageError, match="no problems"):
        problem_task("gsm8k", DataAccess(tmp_path), None)
