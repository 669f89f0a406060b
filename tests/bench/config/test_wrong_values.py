"""What is told of wrong values in files, in no words of pydantic."""

import pytest
from pydantic import ValidationError

from bench.config.wrong_values import first_wrong
from bench.report.leaderboard.published import PublishedFile

WHOLE = {"title": "T", "task": "t", "spread": 1, "sources": {}, "values": []}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"title": 5}, "title: must be text, found '5'"),
        ({"spread": "wide"}, "spread: must be a number, found 'wide'"),
        ({"titel": "T"}, "titel: unknown name: write title"),
        ({"values": [{"model": "m", "scores": {}}]}, "values.0.method: is missing"),
        (
            {"values": [{"model": "m", "method": "lora", "scores": {}, "rate": 1}]},
            "values.0.rate: unknown name: leave it out",
        ),
        ({"values": 5}, "values: must be a list, found '5'"),
        ({"sources": "x" * 99}, "sources: must be names with values, as in 'name: value', found "),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_what_would_be_right(change, told):
    with pytest.raises(ValidationError) as raised:
        PublishedFile.model_validate(WHOLE | change)
    said = first_wrong(raised.value, PublishedFile)
    assert said.startswith(told)
    assert len(said) < 150
    assert first_wrong(raised.value, PublishedFile, "part") == f"part.{said}"


def test_what_is_no_mapping_at_all_has_no_place():
    with pytest.raises(ValidationError) as raised:
        PublishedFile.model_validate([1])
    assert first_wrong(raised.value, PublishedFile).startswith("must be names with values")
