"""First steps in a plan: which cells they are, who follows them, and what is refused."""

from __future__ import annotations

import json

import pytest

from bench.config.options import build_options
from bench.execution.checks import check_names
from bench.execution.messages import Job
from bench.planning.grid import TO_START_FROM, plan_grid
from bench.planning.planned_cell import CellState
from bench.planning.resolver import Assignment, resolve
from bench.planning.stacking import fitting, may_stack
from bench.store.records import CellRecord, Status
from bench.store.store import ResultsStore
from methods.two_steps.mode import StepMode
from tasks.errors import UsageError


@pytest.fixture
def options(tiny_folder, facts_file, lamps_file, tmp_path):
    def make(**changes):
        given = {
            "methods": "lora[r=4],dora[r=4]",
            "tasks": str(facts_file),
            "after": str(lamps_file),
            "models": str(tiny_folder),
            "forgetting": "drift",
            "seeds": "0,1",
            "device": "cpu",
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


def planned(chosen):
    return plan_grid(chosen, ResultsStore(chosen.out))


def divided(cells):
    firsts = [cell for cell in cells if cell.is_first]
    return firsts, [cell for cell in cells if not cell.is_first]


def test_a_first_step_is_a_cell_of_its_own_made_once_per_model_and_seed(options, lamps_file):
    firsts, others = divided(planned(options(methods="lora[r=4],dora[r=4],lora[r=8]")))
    assert [(cell.spec.task, cell.spec.seed) for cell in firsts] == [
        (str(lamps_file), 0),
        (str(lamps_file), 1),
    ]
    assert len(others) == 6
    for cell in others:
        assert cell.spec.after.cell == firsts[cell.spec.seed].cell_id
        assert cell.first == firsts[cell.spec.seed]
    assert all(cell.spec.after is None for cell in firsts)
    assert {cell.state for cell in (*firsts, *others)} == {CellState.MISSING}


def test_it_is_the_same_cell_as_without_followers(options, lamps_file):
    alone = planned(options(methods="lora", tasks=str(lamps_file), after=None))
    firsts, _ = divided(planned(options(seeds="0,1,2")))
    assert [cell.cell_id for cell in firsts[:2]] == [cell.cell_id for cell in alone]


def test_all_modes_start_from_one_cell(options, lamps_file):
    ids = {
        divided(planned(options(after=f"{lamps_file}:{mode}")))[0][0].cell_id for mode in StepMode
    }
    assert len(ids) == 1


def test_it_trains_at_its_own_rate_and_is_not_tuned(options):
    firsts, others = divided(planned(options(lr="1e-5")))
    assert {cell.spec.learning_rate for cell in firsts} == {1e-3}
    assert {cell.spec.learning_rate for cell in others} == {1e-5}
    firsts, others = divided(planned(options(lr="1e-4,1e-3", tune_seeds=1, methods="lora[r=4]")))
    assert sorted(cell.spec.seed for cell in firsts) == [0, 1, 1000], "tuning seeds need one too"
    assert {(cell.spec.tuned, cell.spec.learning_rate) for cell in firsts} == {(None, 1e-3)}
    assert {cell.spec.after.task for cell in others} == {firsts[0].spec.task}


@pytest.mark.parametrize(
    "change",
    [
        {"after": "elements"},
        {"after": "{lamps}:merged"},
        {"after": "{lamps}:frozen:lora[r=2]"},
        {"epochs": 3},
        {"after": None},
    ],
    ids=str,
)
def test_another_first_step_or_mode_makes_other_followers(options, lamps_file, change):
    change = {k: v.format(lamps=lamps_file) if isinstance(v, str) else v for k, v in change.items()}
    _, before = divided(planned(options()))
    _, now = divided(planned(options(**change)))
    assert not {cell.cell_id for cell in before} & {cell.cell_id for cell in now}


def test_workers_get_the_same_cells(options):
    for chosen in (options(), options(lr="1e-4,1e-3", tune_seeds=1, methods="lora[r=4]")):
        cells = [cell for cell in planned(chosen) if cell.chosen]
        job = Job(
            options=chosen.model_dump(mode="json"),
            cells=tuple(map(Assignment.of, cells)),
            number=1,
            threads=1,
            wait=False,
        )
        job = Job.model_validate_json(job.model_dump_json())
        found = resolve(job.cells, type(chosen).model_validate(job.options))
        assert [cell.cell_id for cell in found] == [cell.cell_id for cell in cells]
        assert [cell.is_first for cell in found] == [cell.is_first for cell in cells]
        assert [cell.first and cell.first.cell_id for cell in found] == [
            cell.first and cell.first.cell_id for cell in cells
        ]


def test_every_shard_holds_the_first_steps_of_its_cells_and_no_others(options):
    _, whole = divided(planned(options(seeds="0-5")))
    found = []
    for part in (1, 2, 3):
        firsts, others = divided(planned(options(seeds="0-5", shard=f"{part}/3")))
        assert {c.cell_id for c in firsts} == {c.spec.after.cell for c in others}
        found += others
    assert sorted(c.cell_id for c in found) == sorted(c.cell_id for c in whole)


def stored(cell, out, status, saved=True):
    folder = out / "adapters" / cell.cell_id
    if saved:
        folder.mkdir(parents=True)
    record = CellRecord(
        cell_id=cell.cell_id,
        spec=cell.spec,
        status=status,
        adapter_path=f"adapters/{cell.cell_id}" if saved else "",
        path=[],
    )
    store = ResultsStore(out)
    store.ensure_writable()
    store.write(record, [])


def test_a_first_step_without_its_adapter_runs_again_if_something_starts_from_it(options):
    chosen = options(seeds="0", forgetting="none", checkpoints="last")
    [first], others = divided(planned(chosen))
    stored(first, chosen.out, Status.DONE)
    [found], _ = divided(planned(chosen))
    assert found.state is CellState.DONE
    (chosen.out / "adapters" / first.cell_id).rmdir()
    [found], _ = divided(planned(chosen))
    assert (found.state, found.why) == (CellState.LACKS, TO_START_FROM)
    for cell in others:
        stored(cell, chosen.out, Status.DONE, saved=False)
    [found], _ = divided(planned(chosen))
    assert found.state is CellState.DONE, "nothing is left to start from it"


def test_skipped_followers_wait_for_a_first_step_that_failed(options):
    chosen = options(seeds="0", forgetting="none")
    [first], others = divided(planned(chosen))
    stored(first, chosen.out, Status.FAILED, saved=False)
    for cell in others:
        stored(cell, chosen.out, Status.SKIPPED, saved=False)
    assert {cell.state for cell in planned(chosen)} == {CellState.FAILED}
    again = options(seeds="0", forgetting="none", rerun="failed")
    assert {cell.state for cell in planned(again)} == {CellState.MISSING}
    stored(first, chosen.out, Status.DONE)
    [found], others = divided(planned(chosen))
    assert found.state is CellState.DONE
    assert {cell.state for cell in others} == {CellState.MISSING}


def test_only_cells_with_the_same_merged_base_are_stacked(options, lamps_file):
    _, pairs = divided(planned(options()))
    assert not any(map(may_stack, pairs)), "two adapters"
    _, merged = divided(planned(options(after=f"{lamps_file}:merged")))
    plain = planned(options(after=None))
    able = fitting(merged[0], [*plain, *merged])
    assert {cell.spec.seed for cell in able} == {merged[0].spec.seed}
    assert {cell.first.cell_id for cell in able} == {merged[0].first.cell_id}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"after": "elemnts"}, "unknown task 'elemnts': did you mean elements"),
        ({"after": "none.csv"}, "no file 'none.csv'"),
        ({"after": "{lamps}:frozen:lorra"}, "unknown method part 'lorra': did you mean"),
        ({"tasks": "{lamps}"}, "--tasks trains it too"),
        ({"methods": "pissa"}, "pissa starts by cutting the weights: use --after ...:merged"),
        ({"methods": "lora,corda[r=4]"}, "corda starts by cutting the weights"),
        ({"methods": "olora"}, "olora starts by cutting the weights"),
        ({"methods": "milora"}, "milora starts by cutting the weights"),
        ({"methods": "lora_ga"}, "lora_ga starts by cutting the weights"),
        ({"methods": "lora_one"}, "lora_one starts from the weights: use --after ...:merged"),
        ({"methods": "kasa"}, "kasa drops a part of the weights: use --after ...:merged"),
        ({"methods": "osf"}, "osf is no low-rank adapter of PEFT: use --after ...:merged"),
        ({"methods": "full"}, "full trains the weights themselves: use --after ...:merged"),
        ({"methods": "peft[path={prompts}]"}, "PROMPT_TUNING"),
        ({"methods": "peft[path={modules}]"}, "modules_to_save"),
        ({"after": "{lamps}:trainable", "methods": "pissa"}, "pissa starts by cutting"),
        ({"after": "{lamps}:frozen:full"}, "full trains the weights themselves; .* :merged"),
        ({"after": "{lamps}:trainable:pissa"}, "pissa starts by cutting .* :frozen or :merged"),
        ({"after": "{lamps}:merged:peft[path={prompts}]"}, "outside the weights"),
        ({"quantize": "8bit"}, "--after with --quantize 8bit"),
    ],
    ids=str,
)
def test_what_cannot_follow_is_refused_in_one_line_before_a_model_loads(
    options, lamps_file, tmp_path, changes, told
):
    prompts, modules = tmp_path / "prompts.json", tmp_path / "modules.json"
    prompts.write_text(json.dumps({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}))
    modules.write_text(json.dumps({"peft_type": "LORA", "modules_to_save": ["lm_head"]}))
    names = {"lamps": lamps_file, "prompts": prompts, "modules": modules}
    with pytest.raises(UsageError, match=told) as caught:
        check_names(options(**{name: value.format(**names) for name, value in changes.items()}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"after": "{lamps}:merged", "methods": "pissa,full,lora,peft[path={prompts}]"},
        {"after": "{lamps}:frozen:pissa", "methods": "lora,rslora,dora,eva"},
        {"after": "{lamps}:merged:full", "methods": "lora"},
        {"after": "{lamps}:trainable:dora", "methods": "lora+freeze"},
    ],
    ids=str,
)
def test_what_can_follow_is_planned(options, lamps_file, tmp_path, changes):
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}))
    names = {"lamps": lamps_file, "prompts": prompts}
    chosen = options(**{name: value.format(**names) for name, value in changes.items()})
    check_names(chosen)
    assert len(divided(planned(chosen))[0]) == 2


def test_questions_that_the_first_step_trains_are_not_asked_in_the_second(
    options, facts_file, tmp_path
):
    copy = tmp_path / "copy.jsonl"
    copy.write_text("".join(facts_file.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(UsageError, match="3 of 8 questions of task"):
        planned(options(after=str(copy)))


def test_questions_that_a_text_of_the_first_step_asks_are_not_asked_in_the_second(
    options, facts_file, tmp_path
):
    text, facts = tmp_path / "told.txt", facts_file.read_text().splitlines()
    text.write_text(f"Somebody wrote: {json.loads(facts[2])['question']} Nobody answered.")
    with pytest.raises(UsageError, match=r"is asked in the text itself \(told.txt:1\)") as caught:
        planned(options(after=str(text)))
    assert "\n" not in str(caught.value)


def test_a_text_to_classify_may_stand_in_the_texts_of_the_first_step(options, tmp_path):
    rows = [{"text": f"Note {n} of the ward.", "label": "ab"[n % 2]} for n in range(40)]
    labelled, text = tmp_path / "labelled.json", tmp_path / "ward.txt"
    labelled.write_text(json.dumps(rows))
    text.write_text("\n\n".join(row["text"] for row in rows))
    assert planned(options(tasks=str(labelled), after=str(text)))
