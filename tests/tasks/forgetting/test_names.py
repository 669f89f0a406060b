import subprocess
import sys

import pytest

from tasks.errors import UsageError
from tasks.forgetting.names import (
    ForgettingKind,
    ForgettingName,
    knowledge_names,
    parse_forgetting,
)


def test_each_kind_is_recognised_in_order():
    names = parse_forgetting("elements, lm_eval:piqa,drift,fictional[n=1000]")
    assert [name.kind for name in names] == [
        ForgettingKind.KNOWLEDGE,
        ForgettingKind.LM_EVAL,
        ForgettingKind.DRIFT,
        ForgettingKind.KNOWLEDGE,
    ]
    assert [str(name) for name in names] == [
        "elements",
        "lm_eval:piqa",
        "drift",
        "fictional[n=1000]",
    ]
    assert knowledge_names(names) == ("elements", "fictional[n=1000]")


def test_none_is_empty_and_stands_alone():
    assert parse_forgetting("none") == ()
    with pytest.raises(UsageError, match="'none' cannot be combined"):
        parse_forgetting("none,drift")


def test_repetitions_count_once():
    assert parse_forgetting("drift,drift") == (ForgettingName(ForgettingKind.DRIFT, "drift"),)


def test_a_path_is_a_knowledge_task(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "q", "answer": "a"}\n')
    assert parse_forgetting(str(path))[0].kind is ForgettingKind.KNOWLEDGE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("elemnts", "did you mean elements"),
        ("fictional[m=3]", "no parameter 'm'"),
        ("", "empty name"),
        ("drift,", "empty name"),
        ("lm_eval:", "empty name"),
        ("elements[", "unbalanced brackets"),
        ("gsm8k", "--evaluate gsm8k"),
        ("drift,math", "--evaluate math"),
    ],
)
def test_a_wrong_name_is_one_line(text, reason):
    with pytest.raises(UsageError, match=reason) as found:
        parse_forgetting(text)
    assert "\n" not in str(found.value)


def test_reading_names_imports_neither_torch_nor_lm_eval():
    code = (
        "import sys, tasks.forgetting.harness, tasks.forgetting.overlap\n"
        "from tasks.forgetting.names import parse_forgetting\n"
        "parse_forgetting('elements,lm_eval:piqa')\n"
        "heavy = {'torch', 'transformers', 'lm_eval', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
