import gzip
import json
import math

import pytest
from scipy import stats

from bench.cli import main
from bench.forgetting.export import export_task
from bench.interchange.compare_samples import compare_samples
from bench.interchange.compared_text import comparison_csv
from bench.interchange.sample_pairs import PairBy
from tasks.errors import UsageError
from tests.bench.interchange.lm_eval_runs import changed, write_samples
from tests.bench.interchange.sample_lines import line, scored, write

RIGHT = [1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
OTHER = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def files(tmp_path, ours, theirs, names=("samples_t_2026-01-02T03-04-05.6.jsonl",) * 2):
    return write(tmp_path / "a" / names[0], ours), write(tmp_path / "b" / names[1], theirs)


def only(found):
    [row] = found.rows
    return row


def test_documents_are_paired_by_what_they_hold_in_whatever_order(tmp_path):
    ours, theirs = files(tmp_path, scored(RIGHT), scored(OTHER)[::-1])
    row = only(compare_samples(ours, theirs))
    assert (row.task, row.metric, row.items) == ("t", "acc", 7)
    assert (row.found.first_higher, row.found.second_higher) == (3, 1)
    assert row.found.p == pytest.approx(stats.binomtest(1, 4).pvalue)


def test_documents_of_one_file_are_left_out_and_counted(tmp_path):
    ours, theirs = files(tmp_path, scored(RIGHT), scored(OTHER)[2:])
    found = compare_samples(ours, theirs)
    assert only(found).items == 5
    assert any("2 documents are in A only" in note for note in found.notes)


def test_repeated_documents_are_paired_in_order(tmp_path):
    same = {"question": "again?"}
    ours = [line(i, {"acc": v}, doc=same) for i, v in enumerate([1.0, 0.0, 1.0])]
    theirs = [line(i, {"acc": v}, doc=same) for i, v in enumerate([0.0, 0.0])]
    found = compare_samples(*files(tmp_path, ours + scored(RIGHT), theirs + scored(RIGHT)))
    assert only(found).items == 9
    assert (only(found).found.first_higher, only(found).found.second_higher) == (1, 0)
    assert any("1 document is in A only" in note for note in found.notes)
    assert any("1 of 9 documents repeat" in note for note in found.notes)


def test_each_filter_is_a_row_and_one_of_one_file_a_note(tmp_path):
    strict, flexible = (scored(RIGHT, filter_=f) for f in ("strict-match", "flexible-extract"))
    other = scored(OTHER, filter_="strict-match")
    found = compare_samples(*files(tmp_path, strict + flexible, other))
    assert only(found).filter == "strict-match"
    assert any("flexible-extract" in note for note in found.notes)
    both = compare_samples(*files(tmp_path, strict + flexible, flexible + other))
    assert {row.filter: row.found.first_higher for row in both.rows} == {
        "strict-match": 3,
        "flexible-extract": 0,
    }


def test_without_hashes_documents_are_paired_by_their_place(tmp_path):
    ours = [{k: v for k, v in one.items() if "hash" not in k} for one in scored(RIGHT)]
    found = compare_samples(*files(tmp_path, ours, scored(OTHER)))
    assert only(found).items == 7
    assert any("doc_id" in note for note in found.notes)


def test_other_documents_share_nothing_unless_their_places_are_meant(tmp_path):
    ours, theirs = files(tmp_path, scored(RIGHT), scored(OTHER, doc_hash="x"))
    with pytest.raises(UsageError, match=r"no document in common.*--by doc_id"):
        compare_samples(ours, theirs)
    assert only(compare_samples(ours, theirs, PairBy.DOC_ID)).items == 7


def test_other_prompts_of_the_same_documents_are_told(tmp_path):
    theirs = scored(OTHER)
    theirs[0]["prompt_hash"] = "other"
    found = compare_samples(*files(tmp_path, scored(RIGHT), theirs))
    assert any("prompts differ in 1 of 7" in note for note in found.notes)


def test_metrics_without_a_number_per_document_are_left_out(tmp_path):
    ours, theirs = (
        [line(i, {"acc": v, "bleu": [["a"], "b"], "f": math.nan}) for i, v in enumerate(values)]
        for values in (RIGHT, OTHER)
    )
    theirs[0]["acc"] = None
    found = compare_samples(*files(tmp_path, ours, theirs))
    assert (only(found).metric, only(found).items) == ("acc", 6)
    assert any("bleu has no number" in note for note in found.notes)
    assert any("acc has no number for 1 of 7" in note for note in found.notes)


def test_holm_is_over_all_comparisons(tmp_path):
    for task, flips in (("one", 12), ("two", 9), ("three", 5)):
        write(tmp_path / "a/m" / f"samples_{task}_2026-01-01T00-00-00.0.jsonl", scored([1.0] * 20))
        values = [0.0] * flips + [1.0] * (20 - flips)
        write(tmp_path / "b/n" / f"samples_{task}_2026-01-01T00-00-00.0.jsonl", scored(values))
    found = compare_samples(tmp_path / "a", tmp_path / "b")
    plain = {"one": 2 / 2**12, "two": 2 / 2**9, "three": 2 / 2**5}
    assert {row.task: row.found.p for row in found.rows} == pytest.approx(plain)
    holm = {"one": 3 * plain["one"], "two": 2 * plain["two"], "three": plain["three"]}
    assert {row.task: row.p_holm for row in found.rows} == pytest.approx(holm)
    assert {row.task for row in found.rows if row.differs} == {"one", "two"}


def test_of_several_runs_in_a_folder_the_last_is_taken(tmp_path):
    for second, values in (("05", RIGHT), ("06", OTHER)):
        write(tmp_path / "a" / f"samples_t_2026-01-01T00-00-{second}.1.jsonl", scored(values))
    theirs = write(tmp_path / "samples_t_2026-01-02T00-00-00.1.jsonl", scored(OTHER))
    assert only(compare_samples(tmp_path / "a", theirs)).found.first_higher == 0


def test_two_models_in_one_folder_are_told_apart(tmp_path):
    for model in ("x", "y"):
        write(tmp_path / model / "samples_t_2026-01-01T00-00-00.1.jsonl", scored(RIGHT))
    with pytest.raises(UsageError, match=r"samples of t in x and in y"):
        compare_samples(tmp_path, tmp_path / "x")


def test_a_task_that_cannot_be_read_costs_only_itself(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder / "samples_good_2026-01-01T00-00-00.1.jsonl", scored(RIGHT))
        write(tmp_path / folder / "samples_bad_2026-01-01T00-00-00.1.jsonl", [])
    write(tmp_path / "b" / "samples_alone_2026-01-01T00-00-00.1.jsonl", scored(RIGHT))
    found = compare_samples(tmp_path / "a", tmp_path / "b")
    assert only(found).task == "good"
    assert len(found.problems) == 1
    assert "holds no samples" in found.problems[0]
    assert any("alone is in B only" in note for note in found.notes)


def test_a_compressed_file_is_read_and_a_cut_off_end_left_out(tmp_path):
    ours, theirs = files(tmp_path, scored(RIGHT), scored(OTHER))
    packed = ours.with_name(f"{ours.name}.gz")
    packed.write_bytes(gzip.compress(ours.read_bytes()))
    assert (
        only(compare_samples(packed, theirs)).found.p == only(compare_samples(ours, theirs)).found.p
    )

    ours.write_text(ours.read_text()[:-40])
    found = compare_samples(ours, theirs)
    assert only(found).items == 6
    assert any("cut off" in note for note in found.notes)


def test_what_is_no_sample_file_is_one_line(tmp_path, capsys):
    good = write(tmp_path / "samples_t_2026-01-01T00-00-00.1.jsonl", scored(RIGHT))
    wrong = {
        "results.json": json.dumps({"results": {"t": 1}}, indent=2),
        "results_flat.json": json.dumps({"results": {"t": 1}}),
        "middle.jsonl": "".join([json.dumps(one) + "\n" + "{\n" for one in scored(RIGHT)]),
        "twice.jsonl": good.read_text() * 2,
        "empty.jsonl": "\n",
        "list.jsonl": "[1]\n",
    }
    for name, text in wrong.items():
        path = tmp_path / name
        path.write_text(text)
        assert main(["compare", str(good), str(path)]) == 2, name
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert str(path) in said.err
    assert main(["compare", str(good), str(tmp_path / "absent")]) == 2
    assert main(["compare", str(good), str(good), "--metric", "ac"]) == 2
    assert "acc" in capsys.readouterr().err


def test_files_of_different_tasks_are_refused(tmp_path):
    names = ("samples_t_2026-01-01T00-00-00.1.jsonl", "samples_u_2026-01-01T00-00-00.1.jsonl")
    with pytest.raises(UsageError, match="no task in common"):
        compare_samples(*files(tmp_path, scored(RIGHT), scored(OTHER), names))


def bonett_price_plainly(ours, theirs):
    """The adjusted Wald interval of a paired difference, Bonett and Price (2012)."""
    n = len(ours)
    only_a = sum(a > b for a, b in zip(ours, theirs, strict=True))
    only_b = sum(b > a for a, b in zip(ours, theirs, strict=True))
    p12, p21 = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * math.sqrt((p12 + p21 - (p12 - p21) ** 2) / (n + 2))
    return p21 - p12 - half, p21 - p12 + half


@pytest.mark.integration
def test_real_sample_files_of_two_models_give_mcnemar_and_its_interval(
    embedded_base, tmp_path, capsys
):
    export_task("countries", tmp_path / "tasks", None)
    folders = []
    for name, model in (("a", embedded_base.model), ("b", changed(embedded_base.model))):
        folder = tmp_path / name
        write_samples(model, embedded_base.tokenizer, folder, tmp_path / "tasks", ["countries"])
        folders.append(folder)

    paths = [next(folder.rglob("samples_countries_*.jsonl")) for folder in folders]
    by_hash = [
        {s["doc_hash"]: s["exact_match"] for s in map(json.loads, path.read_text().splitlines())}
        for path in paths
    ]
    keys = sorted(by_hash[0])
    ours, theirs = ([found[key] for key in keys] for found in by_hash)
    only_a, only_b = sum(map(float.__gt__, ours, theirs)), sum(map(float.__lt__, ours, theirs))
    assert only_a + only_b >= 2, "the changed model must differ, or the test says nothing"

    row = only(compare_samples(*folders))
    assert (row.items, row.task, row.name) == (len(keys), "countries", "exact_match")
    assert (row.found.first_higher, row.found.second_higher) == (only_a, only_b)
    assert row.found.p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    interval = row.found.difference.interval
    assert (interval.low, interval.high) == pytest.approx(bonett_price_plainly(ours, theirs))
    assert row.found.difference.value == pytest.approx(
        sum(theirs) / len(keys) - sum(ours) / len(keys)
    )

    assert main(["compare", *map(str, paths), "--show", "2", "--csv", str(tmp_path / "c.csv")]) == 0
    assert "countries" in capsys.readouterr().out
    assert (tmp_path / "c.csv").read_text() == comparison_csv(compare_samples(*paths))


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"doc_id": 0, "metrics": [{"a": 1}]}',
        f'{{"doc_id": 0, "acc": 1{"0" * 400}}}',
    ],
)
def test_a_file_of_another_shape_is_one_line_not_a_crash(tmp_path, capsys, content):
    path = tmp_path / "samples_other.jsonl"
    path.write_text(content + "\n")
    assert main(["compare", str(path), str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
