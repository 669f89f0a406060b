"""Model cards: valid for the hub, true to the records, and runnable as printed."""

from __future__ import annotations

import math
import re

import pytest
import torch
from huggingface_hub import ModelCard

from bench.publishing.bases import ORIGINS, base_name
from bench.publishing.card import card_text
from bench.publishing.card_content import stored_content
from bench.publishing.command import run_command
from bench.publishing.folders import without_folders
from bench.publishing.lesson import example_prompt, lesson_of, trained_in
from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables import format as wording
from bench.store.store import ResultsStore
from tasks.context import TrainPrompt
from tests.bench.publishing.typed import planned_by
from tests.bench.report_cells import make_spec

CODE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)


def table_of(text, heading):
    """Return the rows of the table under a heading, by their first column."""
    part = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_every_saved_adapter_has_a_card_whose_metadata_the_hub_reads(saved_grid, saved_of):
    results, records = saved_grid
    for record in records:
        data = ModelCard.load(results / record.adapter_path / "README.md").data
        assert data.library_name == ("transformers" if record.spec.method == "full" else "peft")
        values = {found.metric_type: found.metric_value for found in data.eval_results}
        assert values["reliability"] == pytest.approx(record.metrics.reliability)
        lost = {found.task: found.forgetting for found in record.forgetting}
        assert values["drift"] == pytest.approx(lost["drift"], abs=1e-6)
        assert data.base_model is None, "a folder is no model that others could find"
    lora = ModelCard.load(saved_of("lora").folder / "README.md").data
    assert {"lora", "arxiv:2106.09685"} <= {*lora.tags}


def test_a_card_at_saving_tells_of_its_cell_and_a_later_one_of_all_seeds(saved_grid, saved_of):
    results, _ = saved_grid
    saved = saved_of("lora")
    first = (saved.folder / "README.md").read_text(encoding="utf-8")
    later = card_text(stored_content(results, saved))
    assert "mean of seeds" not in first
    assert "mean of seeds 0, 1" in later
    [section] = load_leaderboard(results).sections
    [row] = [row for row in section.rows if row.spec.method == saved.spec.method]
    found = table_of(later, "What it learned")
    for name, header in (("reliability", "reliability (%) ↑"), ("generality", "generality (%) ↑")):
        assert found[header][1] == wording.percent_interval(row.metrics[name])
    lost = table_of(later, "What was forgotten")
    assert lost["drift (nats) ↓"][2] == wording.nats_interval(row.forgetting["drift"].lost)


def test_the_interval_of_one_cell_is_wilsons_over_its_facts(saved_of):
    saved = saved_of("lora")
    share, n, z = saved.record.metrics.reliability, saved.spec.facts, 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    text = (saved.folder / "README.md").read_text(encoding="utf-8")
    value = table_of(text, "What it learned")["reliability (%) ↑"][0]
    low, high = re.search(r"\[(\d+), (\d+)\]", value).groups()
    assert (int(low), int(high)) == (round(100 * (middle - half)), round(100 * (middle + half)))


@pytest.mark.parametrize("method", ["lora", "pissa", "full"])
def test_the_code_of_a_card_loads_what_the_cell_has_measured(
    saved_of, saved_grid, tiny_folder, monkeypatch, method
):
    saved = saved_of(method)
    text = (saved.folder / "README.md").read_text(encoding="utf-8")
    [code] = CODE.findall(text)
    assert len(code.splitlines()) <= 4
    monkeypatch.chdir(saved_grid[0])
    names = {}
    exec(code.replace("PATH_OF_THE_BASE", str(tiny_folder)), names)
    rows = ResultsStore(saved_grid[0]).rows(saved.record.cell_id).sort_values("fact_id")
    [prompt] = re.findall(r"```\n(Question: .*?)\n```", text, re.DOTALL)
    assert prompt == f"Question: {rows.iloc[0].question}\nAnswer:"
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        made = names["model"].generate(ids, max_new_tokens=12, do_sample=False)
    answer = tokenizer.decode(made[0, ids.shape[1] :]).partition("\n")[0].strip()
    assert answer.startswith(rows.iloc[0].answer_plain or rows.iloc[0].answer_after)


def test_the_command_of_a_card_plans_the_same_cell(saved_grid, tmp_path):
    _, records = saved_grid
    for record in records:
        [cell] = planned_by(run_command(record), tmp_path / "nothing")
        assert cell.cell_id == record.cell_id


def test_a_card_names_no_folder_of_this_machine(saved_grid, facts_file, tiny_folder):
    results, records = saved_grid
    for record in records:
        text = (results / record.adapter_path / "README.md").read_text(encoding="utf-8")
        for folder in (results, facts_file.parent, tiny_folder.parent):
            assert str(folder) not in text, record.spec.method
        assert facts_file.name in text


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("pissa", "twice that of the recipe"),
        ("kasa", "not the base at the start"),
        ("lora", "too few to decide between methods"),
    ],
)
def test_a_card_tells_what_its_user_must_know(saved_of, method, said):
    text = (saved_of(method).folder / "README.md").read_text(encoding="utf-8")
    assert said in text
    others = {"pissa": "not the base at the start", "kasa": "twice that of the recipe"}
    assert others.get(method, "twice that of the recipe") not in text


def test_embedded_bases_are_named_by_what_they_were_made_of():
    from bench.models.registry import EMBEDDED

    assert ORIGINS.keys() == EMBEDDED.keys()
    named = base_name(make_spec())
    assert named.repository == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "load_base" in named.loading, "its weights are not those of the hub"
    hub = base_name(make_spec(model="meta-llama/Llama-3.2-1B", model_revision="abc"))
    assert (hub.repository, hub.revision) == ("meta-llama/Llama-3.2-1B", "abc")


def test_what_a_fact_says_cannot_break_out_of_the_page(saved_grid, saved_of):
    import dataclasses

    content = stored_content(saved_grid[0], saved_of("lora"))
    hostile = dataclasses.replace(content, question="a ```\n# b <script>", answer="c` | <b>")
    text = card_text(hostile)
    assert "````\nQuestion: a ```\n# b <script>\nAnswer:\n````" in text
    assert "`c' | <b>`" in text


@pytest.mark.parametrize(
    ("prompt", "begins", "said"),
    [
        ("plain", "Question: Who?\nAnswer:", "plain questions"),
        ("few_shot", "(four questions with their answers)", "after four demonstrations"),
        ("chat", 'tokenizer.apply_chat_template([{"role": "user", "content": "Who?"}]', "template"),
        ("mixed", "Question: Who?\nAnswer:", "in turn"),
    ],
)
def test_the_example_is_put_as_training_put_it(prompt, begins, said):
    lesson, chosen = lesson_of(make_spec()), TrainPrompt(prompt)
    assert example_prompt(lesson, chosen.asked, "Who?").startswith(begins)
    assert said in trained_in(chosen)


def test_the_licence_of_the_data_is_that_of_the_task():
    assert lesson_of(make_spec()).licence == "CC-BY-4.0"
    hub = lesson_of(make_spec(task="nq_open"))
    assert (hub.dataset, hub.licence) == ("google-research-datasets/nq_open", "CC-BY-SA-3.0")
    own = lesson_of(make_spec(task="/home/me/secret/my facts.csv"))
    assert (own.name, own.licence) == ("my facts.csv", "its owner's")


def test_files_are_named_without_their_folders():
    spec = make_spec(task="private/plans/keys.csv", method="peft[path=/etc/mine/a.json]")
    said = "private/plans/keys.csv by peft[path=/etc/mine/a.json], see https://a.org/b/c and /x/y/z"
    assert without_folders(said, spec) == (
        "keys.csv by peft[path=a.json], see https://a.org/b/c and z"
    )
