import json
import random

import pytest
import torch

from bench.forgetting.lm_eval_catalog import lm_eval_harness_task
from tasks.base import DataAccess
from tasks.errors import UsageError


@pytest.fixture
def piqa(tmp_path):
    rows = [{"goal": f"open jar {i}", "sol1": f"twist {i}", "sol2": f"sing {i}"} for i in range(9)]
    (tmp_path / "piqa_valid.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "piqa_valid_labels.lst").write_text("\n".join(str(i % 2) for i in range(9)))
    docs = [{**row, "label": i % 2} for i, row in enumerate(rows)]
    return DataAccess(tmp_path), docs


def write_rows(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def scored_by_lm_eval(base, config, docs, metric, limit=None):
    """The items of `simple_evaluate`, on a task described apart from our code."""
    import lm_eval
    from datasets import Dataset
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    split = Dataset.from_list(docs)
    config = {"task": "twin", **config, "custom_dataset": lambda **_: {"test": split}}
    found = lm_eval.simple_evaluate(
        HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=1),
        tasks=[{**config, "test_split": "test"}],
        task_manager=TaskManager(include_defaults=False),
        limit=limit,
        bootstrap_iters=0,
    )
    return [sample[metric] for sample in found["samples"]["twin"]]


PIQA = {
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{goal}}\nAnswer:",
    "doc_to_target": "label",
    "doc_to_choice": "{{[sol1, sol2]}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.mark.parametrize(
    "model", ["tiny_base", pytest.param("embedded_base", marks=pytest.mark.integration)]
)
def test_piqa_from_a_file_scores_as_lm_eval_itself(request, model, piqa):
    base = request.getfixturevalue(model)
    access, docs = piqa
    task = lm_eval_harness_task("piqa", access, limit=7)
    scores = task.score(base, base.model)
    expected = scored_by_lm_eval(base, PIQA, docs, "acc", limit=7)
    assert (scores.task, scores.metric, scores.floor) == ("lm_eval:piqa", "acc", 0.5)
    assert list(scores.items) == expected
    assert {0.0, 1.0} == set(expected)


def test_gsm8k_draws_its_examples_from_the_one_file_there_is(tiny_base, tmp_path):
    docs = [{"question": f"{i} plus one?", "answer": f"add\n#### {i + 1}"} for i in range(8)]
    write_rows(tmp_path / "gsm8k_test.jsonl", docs)
    task = lm_eval_harness_task("gsm8k", DataAccess(tmp_path), limit=2)
    task.task.config.generation_kwargs["max_gen_toks"] = 2
    first = task.score(tiny_base, tiny_base.model)
    prompt = task.task.instances[0].args[0]
    assert prompt.count("Question:") == 6
    assert prompt.count(docs[0]["question"]) == 1, "the question asked is no example"
    [note] = task.notes
    assert note.startswith("lm_eval:gsm8k: ")
    assert "gsm8k_test.jsonl" in note
    random.seed(3)
    assert task.score(tiny_base, tiny_base.model) == first, "the same examples each time"
    assert first.metric == "exact_match"


def test_a_train_file_gives_the_examples(tiny_base, tmp_path):
    docs = [{"question": f"{i} plus one?", "answer": f"add\n#### {i + 1}"} for i in range(8)]
    write_rows(tmp_path / "gsm8k_test.jsonl", docs[:2])
    write_rows(tmp_path / "gsm8k_train.jsonl", docs[2:])
    task = lm_eval_harness_task("gsm8k", DataAccess(tmp_path), limit=1)
    assert task.notes == ()
    assert task.task.config.fewshot_split == "train"


@pytest.mark.parametrize(
    ("name", "file", "row"),
    [
        ("nq_open", "NQ-open.dev.jsonl", {"question": "who", "answer": ["Ann", "Bo"]}),
        ("triviaqa", "triviaqa_dev.jsonl", {"question": "who", "answer": {"aliases": ["Ann"]}}),
        ("webqs", "web_questions_test.jsonl", {"question": "who", "answers": ["Ann", "Bo"]}),
        (
            "hellaswag",
            "hellaswag_val.jsonl",
            {
                "activity_label": "Run",
                "ctx_a": "He runs.",
                "ctx_b": "he",
                "endings": ["stops.", "flies.", "eats.", "ends."],
                "label": 2,
            },
        ),
        (
            "arc_easy",
            "ARC-Easy-Test.jsonl",
            {
                "id": "1",
                "question": {
                    "stem": "Which is hot?",
                    "choices": [{"text": "ice", "label": "A"}, {"text": "fire", "label": "B"}],
                },
                "answerKey": "B",
            },
        ),
    ],
)
def test_files_with_sensible_names_feed_the_evaluated_split(tiny_base, tmp_path, name, file, row):
    write_rows(tmp_path / file, [row] * 3)
    task = lm_eval_harness_task(name, DataAccess(tmp_path), limit=2)
    if task.task.OUTPUT_TYPE == "generate_until":
        task.task.config.generation_kwargs["max_gen_toks"] = 2
    assert len(task.score(tiny_base, tiny_base.model).items) == 2


def test_the_hub_is_not_waited_for_and_the_line_names_the_files(tmp_path):
    with pytest.raises(UsageError) as found:
        lm_eval_harness_task("piqa", DataAccess(tmp_path), limit=1)
    line = str(found.value)
    assert "piqa_validation, piqa_valid, piqa_val, piqa_dev" in line
    assert str(tmp_path) in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("piqqa", "unknown lm-eval task 'piqqa': did you mean piqa"),
        ("mmlu", "is a group of tasks"),
        ("humaneval", "runs code that the model writes"),
        ("wikitext", "not a mean of scores per item"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path, name, reason):
    write_rows(tmp_path / "wikitext_test.jsonl", [{"page": "a b c"}])
    with pytest.raises(UsageError, match=reason) as found:
        lm_eval_harness_task(name, DataAccess(tmp_path), limit=1)
    assert "\n" not in str(found.value)


def test_a_file_without_the_fields_is_named(tmp_path):
    write_rows(tmp_path / "nq_open_dev.jsonl", [{"q": "who", "answer": ["Ann"]}])
    with pytest.raises(UsageError, match=r"nq_open_dev.jsonl lacks fields .*question"):
        lm_eval_harness_task("nq_open", DataAccess(tmp_path), limit=1)


def test_piqa_without_as_many_labels_is_one_line(piqa):
    access, _ = piqa
    (access.data_dir / "piqa_valid_labels.lst").write_text("0\n1")
    with pytest.raises(UsageError, match="2 labels for 9 rows"):
        lm_eval_harness_task("piqa", access, limit=1)


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("nq_open_dev.json", '[{"question": "who"', "line 1: invalid JSON"),
        ("nq_open_dev.json", '{"train": [], "test": []}', "expected a list of objects"),
        ("nq_open_dev.jsonl", '{"question": "who"}\n["who"]', "line 2: expected an object"),
        ("nq_open_dev.jsonl", '{"question"', "line 1: invalid JSON"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, file, text, problem):
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match=problem) as found:
        lm_eval_harness_task("nq_open", DataAccess(tmp_path), limit=1)
    assert file in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("file", ["piqa/valid.jsonl", "piqa/validation-00000-of-00001.jsonl"])
def test_a_folder_may_carry_the_name(tmp_path, file):
    row = {"goal": "open jar", "sol1": "twist", "sol2": "sing", "label": 0}
    (tmp_path / "piqa").mkdir()
    write_rows(tmp_path / "piqa" / "train.jsonl", [{**row, "goal": "wrong split"}])
    write_rows(tmp_path / file, [row])
    task = lm_eval_harness_task("piqa", DataAccess(tmp_path), limit=1)
    assert [doc["goal"] for doc in task.task.validation_docs()] == ["open jar"]


def test_an_unreachable_hub_is_given_up_on(monkeypatch):
    from huggingface_hub import constants

    from tasks.hub import hub_answers, hub_or_cache

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not hub_answers()
    with hub_or_cache():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


def test_local_scores_do_not_depend_on_random_state(tiny_base, piqa):
    task = lm_eval_harness_task("piqa", piqa[0], limit=5)
    torch.manual_seed(1)
    first = task.score(tiny_base, tiny_base.model)
    torch.manual_seed(2)
    assert task.score(tiny_base, tiny_base.model) == first
