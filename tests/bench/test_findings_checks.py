"""What a section says was checked: of the methods that it compares, and of no others."""

from __future__ import annotations

from bench.findings.answer import corrected_answer
from bench.findings.checks import checks
from bench.findings.pictures import of_layers
from bench.findings.questions import layers, rates
from tests.bench.findings_cells import Plan, evidence_of

RATES = (3e-4, 1e-3)
DEEP = {"layers": list(range(20, 30)), "cut": 20, "cut_stability": 0.8}


def lines_of(question, evidence):
    return "\n".join(checks(corrected_answer(question.answer(evidence)), evidence))


def test_rates_that_were_tuned_are_told_with_what_to_doubt():
    both = [Plan(m, tuned=tried) for tried in ((), RATES) for m in ("lora", "pissa")]
    lines = lines_of(rates, evidence_of(*both))
    assert "lora lr 0.0003, best of 2; pissa lr 0.0003, best of 2." in lines
    assert "lora: the best lr is the smallest tried, 0.0003; try further ones" in lines
    assert "pissa: the best lr is the smallest tried, 0.0003; try further ones" in lines
    assert "the adapters' defaults, not tuned" in lines


def placed():
    return evidence_of(
        Plan("lora", tuned=RATES),
        Plan("lora+freeze", notes=DEEP, tuned=RATES[:1]),
        Plan("pissa", tuned=(*RATES, 3e-3)),
    )


def test_methods_that_are_not_compared_are_not_told():
    lines = lines_of(layers, placed())
    assert "lora+freeze" in lines
    assert "pissa" not in lines
    assert "lr: 0.001 was not tried for every method" in lines
    assert "0.003" not in lines
    assert "Formulas: freeze is rebuilt; parameters" in lines


def test_adapters_without_a_placement_have_no_picture_of_layers():
    [picture] = of_layers(placed().settings)
    assert "lora" in picture.name
    assert not [*of_layers(evidence_of(Plan("lora"), Plan("lora[r=4]")).settings)]


def test_layers_that_each_seed_draws_are_not_told_as_those_of_the_first():
    drawn = [
        Plan("lora+random_cut", seeds=(seed,), notes={"layers": list(range(cut, 30))}, flops=cost)
        for seed, cut, cost in ((0, 24, 1e12), (1, 18, 2e12), (2, 10, 6e12))
    ]
    [picture] = of_layers(
        evidence_of(Plan("lora"), Plan("lora+freeze", notes=DEEP), *drawn).settings
    )
    [axes] = picture.draw().axes
    texts = {text.get_text() for text in axes.texts}
    assert {"lora: all", "lora+freeze: 21-30", "lora+random_cut: by seed"} <= texts
    assert 3.0 in {float(x) for line in axes.lines for x in line.get_xdata()}
