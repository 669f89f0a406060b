import json

import pytest
import yaml

from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.forgetting.harness import harness_spec
from tasks.prompt import Prompt

PROMPT = Prompt((("Is {{x}} odd?", "yes"),))
CHOICE = Fact("1", "Number of tin?", ("50", "fifty"), choices=("5", "50", "fifty", "7"))
OPEN = Fact("2", "Who?", ("Ann",))


def test_choices_end_with_the_stop_and_hold_one_right_answer():
    spec = harness_spec("elements", [CHOICE], PROMPT)
    assert spec.rows == (
        {"question": "Number of tin?", "choices": ["5\n", "50\n", "7\n"], "target": 1},
    )
    assert spec.config["output_type"] == "multiple_choice"


def test_one_fact_without_choices_makes_all_generate():
    spec = harness_spec("mixed", [CHOICE, OPEN], PROMPT)
    assert spec.config["output_type"] == "generate_until"
    assert [row["answers"] for row in spec.rows] == [["50", "fifty"], ["Ann"]]


def test_the_longest_answer_bounds_generation():
    def tokens(answer):
        spec = harness_spec("t", [Fact("1", "q", (answer,))], PROMPT)
        return spec.config["generation_kwargs"]["max_gen_toks"]

    assert (tokens("Ann"), tokens("a" * 40)) == (5, 32)
    assert (tokens("a" * 500), tokens("a" * 5000)) == (250, 256), "a token has two letters or more"


def test_names_become_names_that_lm_eval_takes():
    assert harness_spec("data/my facts.csv", [OPEN], PROMPT).name == "data_my_facts.csv"


def test_the_configuration_is_plain_but_for_the_scoring_function():
    config = dict(harness_spec("t", [OPEN], PROMPT).config)
    assert callable(config.pop("process_results"))
    assert yaml.safe_load(yaml.safe_dump(config)) == json.loads(json.dumps(config))


def test_no_facts_is_one_line():
    with pytest.raises(UsageError, match="'t' has no facts"):
        harness_spec("t", [], PROMPT)
