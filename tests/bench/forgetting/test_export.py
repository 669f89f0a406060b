import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.forgetting.export import export_task, write_task
from bench.forgetting.lm_eval_task import knowledge_harness_task
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import Prompt
from tasks.scoring import normalise
from tests.tasks.pairs import PAIRS

PROMPT = Prompt((("What is {{two}} plus two?", "four"), ('Who said "No"?', "Ann")))


def choice_facts():
    words = ["iron", "gold", "neon", "zinc", "lead", "tin", "xenon", "boron", "silver", "radon"]
    return [
        Fact(f"e{i}", f"Symbol of {w}?", (w[:2],), choices=(w[-2:], w[:2], w[1:3]))
        for i, w in enumerate(words)
    ]


def open_facts(answers):
    return [Fact(f"o{i}", f"Land {i}?", (a, f"town: {i}")) for i, a in enumerate(answers)]


def scrambled_lora(base):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(copy.deepcopy(base.model), config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    return model


def run_lm_eval(tmp_path, base, adapter, folders, names):
    base.model.save_pretrained(tmp_path / "base")
    base.tokenizer.save_pretrained(tmp_path / "base")
    adapter.save_pretrained(str(tmp_path / "adapter"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    arguments = {
        "--include_path": folders,
        "--tasks": ",".join(names),
        "--model": "hf",
        "--model_args": f"pretrained={tmp_path}/base,peft={tmp_path}/adapter,dtype=float32",
        "--device": "cpu",
        "--output_path": tmp_path / "out.json",
    }
    command = [sys.executable, "-m", "lm_eval", "run"]
    command += [str(word) for pair in arguments.items() for word in pair]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    written = next(Path(tmp_path).rglob("out*.json"))
    return json.loads(written.read_text())["results"]


def test_the_command_line_gives_the_score_of_the_cell(tiny_base, tmp_path):
    adapter = scrambled_lora(tiny_base)
    choices = knowledge_harness_task("my elements", choice_facts(), PROMPT)
    said = knowledge_harness_task("probe", open_facts(["x" * 40] * 6), PROMPT)
    said.score(tiny_base, adapter)
    spoken = [instance.resps[0] for instance in said.task.instances]
    # What the model says counts as right for every other fact, so that the score is not 0.
    facts = open_facts([f"{s}!" if i % 2 else "no" * 20 for i, s in enumerate(spoken)])
    generated = knowledge_harness_task("lands.v1", facts, PROMPT)

    exports = [
        write_task("my elements", choice_facts(), PROMPT, tmp_path / "first"),
        write_task("lands.v1", facts, PROMPT, tmp_path / "first"),
    ]
    moved = (tmp_path / "first").rename(tmp_path / "moved")
    found = run_lm_eval(tmp_path, tiny_base, adapter, moved, [e.name for e in exports])

    expected = choices.score(tiny_base, adapter)
    assert found["my_elements"]["acc,none"] == pytest.approx(expected.mean)
    assert 0 < expected.mean < 1
    expected = generated.score(tiny_base, adapter)
    assert found["lands.v1"]["exact_match,none"] == pytest.approx(expected.mean)
    assert 0 < expected.mean < 1


def test_the_exported_scoring_needs_nothing_of_ours(tmp_path):
    write_task("lands", open_facts(["+", "Rome"]), PROMPT, tmp_path)
    code = (
        "import lands\n"
        "assert lands.process_results({'answers': ['+']}, [' + ']) == {'exact_match': 1.0}\n"
        "assert lands.process_results({'answers': ['The Rome.']}, ['rome'])['exact_match'] == 1\n"
        "assert len(lands.dataset(version=1.0)['test']) == 2\n"
    )
    subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{code}"],
        cwd=tmp_path,
        check=True,
    )


def test_the_exported_scoring_agrees_with_ours_on_the_whole_table(tmp_path):
    write_task("lands", open_facts(["Rome"]), PROMPT, tmp_path)
    code = (
        "import json, sys; sys.path.insert(0, '.'); import lands\n"
        "pairs = json.load(sys.stdin)\n"
        "scored = [lands.process_results({'answers': [b]}, [a]) for a, b in pairs]\n"
        "print(json.dumps([[s['exact_match'] for s in scored],\n"
        "                  [lands.normalise(a) for a, b in pairs]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        input=json.dumps([(pair.first, pair.second) for pair in PAIRS]),
        capture_output=True,
        text=True,
        check=True,
    )
    scores, forms = json.loads(done.stdout)
    assert scores == [float(pair.same) for pair in PAIRS]
    assert forms == [normalise(pair.first) for pair in PAIRS]


def test_the_command_names_folder_and_task(tmp_path):
    found = write_task("elements", choice_facts(), PROMPT, tmp_path / "new" / "folder")
    assert (found.name, found.items) == ("elements", 10)
    assert f"--include_path {tmp_path}/new/folder --tasks elements" in found.command


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write to"):
        write_task("elements", choice_facts(), PROMPT, tmp_path / "file")


def test_a_task_is_exported_by_name(tmp_path):
    said = export_task("elements", tmp_path / "lm", None)
    rows = (tmp_path / "lm" / "elements.jsonl").read_text().splitlines()
    assert said.startswith(f"wrote {len(rows)} items to {tmp_path}/lm\nlm_eval run ")
    with pytest.raises(UsageError, match="did you mean elements"):
        export_task("elemnts", tmp_path / "lm", None)


def test_rows_survive_unusual_line_ends(tmp_path):
    fact = Fact("1", "One\u2028two\x85three?", ("yes",))
    write_task("odd", [fact], PROMPT, tmp_path)
    (line,) = (tmp_path / "odd.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["question"] == fact.question
