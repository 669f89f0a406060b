"""The grid file of CorDA's Table 1, run whole on a two-layer model with invented local files."""

import json
from pathlib import Path

from bench.cli import main
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.problems.competition_math import CompetitionMath
from tasks.problems.gsm8k import Gsm8k

TABLE = Path(__file__).parents[3] / "configs/corda_table1.yaml"
FILES = {
    "metamath_train": [
        {
            "type": "GSM_AnsAug",
            "query": f"Ann has {i} pears and buys one. How many has she?",
            "original_question": "q",
            "response": f"She has {i}+1={i + 1}.\n#### {i + 1}\nThe answer is: {i + 1}",
        }
        for i in range(4)
    ],
    "nq_questions_train": [
        {"question": f"who painted the gate of town {i}", "answer": ["Bo Lint"]} for i in range(90)
    ],
    "nq_open_validation": [
        {"question": f"who owns mill {i}", "answer": ["Bo Lint", "Lint"]} for i in range(2)
    ],
    "triviaqa_validation": [
        {
            "question": f"Who built bridge {i}?",
            "answer": {"value": "Bo", "aliases": ["Bo", "Bo Lint"]},
        }
        for i in range(2)
    ],
    "webqs_test": [{"question": f"who is {name}", "answers": [name, "B"]} for name in "AC"],
    "gsm8k_test": [{"question": f"{i}+1?", "answer": f"<<{i}+1>>\n#### {i + 1}"} for i in range(5)],
    "math_test": [{"instruction": f"{i}+1?", "output": f"\\boxed{{{i + 1}}}"} for i in range(5)],
}


def test_the_whole_table_is_run_and_reported(tmp_path, tiny_folder, capsys, monkeypatch):
    from lm_eval.models.huggingface import HFLM

    # A random model never ends by itself, and how long it goes on is no matter here.
    monkeypatch.setattr(HFLM, "max_gen_toks", 3)
    for kind in (Gsm8k, CompetitionMath):
        monkeypatch.setattr(kind, "longest", 3)
    data, out = tmp_path / "data", tmp_path / "results"
    data.mkdir()
    for name, rows in FILES.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (data / f"{name}.jsonl").write_text(text)
    words = ["--config", TABLE, "--models", tiny_folder, "--data-dir", data, "--out", out]
    words += ["--dtype", "float32", "--workers", "1", "--device", "cpu"]
    assert main(["plan", *map(str, words)]) == 0
    assert "not checked" not in capsys.readouterr().out, "everything is at hand"
    assert main(["run", *map(str, words)]) == 0
    records = ResultsStore(out).records().records
    assert {record.status for record in records} == {Status.DONE}
    methods = {record.spec.method for record in records}
    assert len(methods) == 5
    for record in records:
        spec = record.spec
        assert (spec.lessons, spec.epochs, spec.accumulation) == (4, 1, 128)
        assert (spec.learning_rate, spec.warmup, spec.batch_size) == (2e-5, 0.03, 1)
        assert {entry.task for entry in record.evaluated} == {"gsm8k", "math"}
        assert [entry.task for entry in record.forgetting] == [
            "lm_eval:triviaqa",
            "lm_eval:nq_open",
            "lm_eval:webqs",
        ]
        assert record.adapter_path
    by_method = {record.spec.method.partition(",")[0]: record for record in records}
    assert by_method["corda[calibration=nq_questions"].notes["calibration_window"] == 1024
    tokens = by_method["corda[calibration=nq_questions"].notes["calibration_tokens"]
    windows = by_method["corda[calibration=nq_questions"].notes["calibration_samples"]
    assert windows == -(-tokens // 1024) > 1
    assert by_method["corda[mode=ipm"].notes["calibration_samples"] == 4
    table = (out / "leaderboard.md").read_text()
    for column in ("learned gsm8k", "learned math", "forgets lm\\_eval:nq\\_open"):
        assert column in table
    assert not list((out / "plots").iterdir()), "nothing to draw where no facts are asked"
    assert "Published values" not in table, "another model than the published ones"
