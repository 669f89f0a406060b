"""What the docstring of every part tells people: see `methods.parts`."""

from __future__ import annotations

import inspect

import pytest

from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES

PARTS = {name: kind[name] for kind in (ADAPTERS, PLACEMENTS, STRATEGIES) for name in kind.names()}


@pytest.mark.parametrize("name", PARTS)
def test_its_docstring_says_exact_or_rebuilt_and_names_the_paper(name):
    part = PARTS[name]
    words = " ".join(inspect.getdoc(part).split())
    assert f"**{part.certainty}**" in words
    assert not part.paper or f"arXiv {part.paper}" in words


@pytest.mark.parametrize("name", PARTS)
def test_its_docstring_begins_with_a_sentence_that_fits_a_narrow_terminal(name):
    first = inspect.getdoc(PARTS[name]).partition("\n")[0]
    assert first.endswith(".")
    assert "=" not in first, "formulas come after the sentence"
    assert len(first) <= 75


@pytest.mark.parametrize("name", PARTS)
def test_its_docstring_explains_the_parameters_that_it_adds(name):
    part = PARTS[name]
    doc = inspect.getdoc(part)
    assert [f for f in inspect.get_annotations(part) if f"\n    {f}:" not in doc] == []
