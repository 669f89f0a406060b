"""How often intervals of measures of classification hold the truth, by simulation.

python -m tests.bench.report.statistics.label_simulation
"""

import numpy as np

from bench.evaluation.label_metrics import Classified, auprc, auroc, balanced_accuracy, macro_f1
from bench.report.statistics.intervals import SHARE, Sample, estimates

DRAWS = 300
SEPARATION = 1.5
"""How far the score of the right label lies above the others, in their standard deviations."""

MANY = [(100, 100), (30, 170), (20, 180), (40, 40, 40), (20, 90, 90), (20,) * 6]
FEW = [(10, 190), (5, 95), (10, 95, 95), (10, 45, 45, 45, 45, 45)]
"""How many held-out texts each label has: at least 20, and fewer for one."""

MEASURES = (auroc, auprc, macro_f1, balanced_accuracy)


def drawn(counts, generator):
    """Texts with as many of each label as `counts`, whose scores a softmax gives."""
    right = np.repeat(np.arange(len(counts)), counts)
    logits = generator.normal(size=(len(right), len(counts)))
    logits[np.arange(len(right)), right] += SEPARATION
    powers = np.exp(logits)
    return Classified(powers / powers.sum(1, keepdims=True), right, np.arange(len(right)))


def coverage(counts, measure):
    """The share of draws whose 95% interval, of one seed, holds the value of many texts."""
    generator = np.random.default_rng(0)
    truth = drawn([40 * count for count in counts], generator).value(measure)
    samples = [
        Sample([found.value(measure)], [found.per_subject(measure)], SHARE, jackknifed=True)
        for found in (drawn(counts, generator) for _ in range(DRAWS))
    ]
    ends = [one.interval for one in estimates(samples)]
    return float(np.mean([one.low <= truth <= one.high for one in ends]))


if __name__ == "__main__":
    for given in (*MANY, *FEW):
        print(given, [f"{kind.__name__} {coverage(given, kind):.1%}" for kind in MEASURES])
