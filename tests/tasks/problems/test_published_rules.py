"""The rules by which answers to GSM8K and MATH are scored, against those of CorDA's code."""

import time

import pytest

from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.problems.base import problem_sets, problems_of
from tasks.problems.notation import boxed
from tests.tasks.problems.outputs import LATEX, WHOLE_NUMBERS
from tests.tasks.test_hub import write


def accepts(extract, output, wanted):
    fact = Fact("f", "q", (f"some steps\nThe answer is: {wanted}",), extract=extract)
    return fact.accepts(output)


@pytest.fixture(autouse=True)
def registered():
    problem_sets()


def test_there_are_forty_outputs_or_more_of_both_verdicts():
    assert len(WHOLE_NUMBERS) + len(LATEX) >= 40
    for outputs in (WHOLE_NUMBERS, LATEX):
        assert {verdict for *_, verdict in outputs} == {True, False}


@pytest.mark.parametrize(("output", "wanted", "verdict"), WHOLE_NUMBERS)
def test_whole_numbers_are_scored_as_by_the_published_code(output, wanted, verdict):
    assert accepts("whole number", output, wanted) is verdict


@pytest.mark.parametrize(("output", "wanted", "verdict"), LATEX)
def test_results_in_latex_are_scored_as_by_the_published_code(output, wanted, verdict):
    assert accepts("result in LaTeX", output, wanted) is verdict


@pytest.mark.parametrize(
    "output", ["9" * 400, "-" + "9" * 400, "9" * 400 + "/3", "1/" + "9" * 5000]
)
@pytest.mark.parametrize("extract", ["whole number", "result in LaTeX"])
def test_digits_without_end_are_wrong_and_stop_nothing(extract, output):
    assert not accepts(extract, f"The answer is: {output}", 18)


@pytest.mark.parametrize("output", ["x/2", r"\frac", r"1\text{ a }\text{ b}"])
def test_what_the_published_code_cannot_read_it_takes_for_right_and_we_do_not(output):
    assert not accepts("result in LaTeX", f"The answer is: {output}", "7")
    assert accepts("result in LaTeX", f"The answer is: {output}", output)


@pytest.mark.parametrize(
    "output",
    [
        "__import__('os').system('touch stolen')",
        "9^{9^{9^{9}}}",
        "(" * 5000,
        "1" * 5000 + "!",
        r"\frac{1}{0}",
        "2^",
        "x" * 200 + "^y",
    ],
)
def test_what_a_model_writes_is_never_run_and_takes_no_time(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = time.perf_counter()
    assert not accepts("result in LaTeX", f"The answer is: {output}", "7x+1")
    assert time.perf_counter() - started < 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("solution", "found"),
    [
        (r"So \boxed{5} is wrong, \boxed{\frac{1}{2}} is right.", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed 5", ""),
        (r"\fbox{5}", ""),
        (r"\boxed{5", ""),
        ("5", ""),
    ],
)
def test_the_last_box_of_a_solution_counts(solution, found):
    assert boxed(solution) == found


def test_the_prompt_is_the_published_one():
    for name in ("gsm8k", "math"):
        found = problems_of(name)
        assert found.before + "What?" + found.after == (
            "Below is an instruction that describes a task. "
            "Write a response that appropriately completes the request.\n\n"
            "### Instruction:\nWhat?\n\n### Response: Let's think step by step."
        )
        assert found.stops == ("Instruction:", "Instruction", "Response:", "Response")
    assert [problems_of(name).longest for name in ("gsm8k", "math")] == [1024, 2048]


def test_gsm8k_reads_its_own_rows(tmp_path):
    rows = [{"question": "2+3?", "answer": "2+3 = <<2+3=5>>5\n#### 5"}] * 2
    write(tmp_path / "gsm8k_test.jsonl", rows)
    first, second = problems_of("gsm8k").load(DataAccess(tmp_path))
    assert (first.id, second.id) == ("problem 1", "problem 2"), "as many as in the file"
    assert first.target == "2+3 = 5\nThe answer is: 5"
    assert first.accepts("It is 5. The answer is: 5")
    assert not first.accepts("5")


@pytest.mark.parametrize(
    "fields", [("problem", "solution"), ("instruction", "output")], ids=["MATH", "CorDA"]
)
def test_math_reads_rows_of_both_sources(tmp_path, fields):
    row = dict(zip(fields, ("Half of 1?", r"It is $\boxed{\frac12}$."), strict=True))
    write(tmp_path / "math_test.jsonl", [row])
    [problem] = problems_of("math").load(DataAccess(tmp_path))
    assert problem.question == "Half of 1?"
    assert problem.accepts("The answer is: 0.5")
    assert problem.accepts(problem.target)


@pytest.mark.parametrize(
    ("name", "row", "pieces"),
    [
        ("gsm8k", {"question": "a", "answer": "5"}, ["row 1, not a row", "####"]),
        ("gsm8k", {"question": "a"}, ["answer", "missing"]),
        ("math", {"problem": "a"}, ["solution", "missing"]),
        ("math", {"question": "a", "answer": "b"}, ["solution", "missing"]),
    ],
)
def test_a_wrong_row_is_told_in_one_line(tmp_path, name, row, pieces):
    write(tmp_path / f"{name}_test.json", [row])
    with pytest.raises(UsageError) as raised:
        problems_of(name).load(DataAccess(tmp_path))
    message = str(raised.value).replace(": not", ", not")
    for piece in (f"{name}_test.json", *pieces):
        assert piece in message
    assert "\n" not in message


def test_an_unknown_set_is_told_with_a_near_name():
    with pytest.raises(UsageError, match="gsm8k"):
        problems_of("gsm8")
