"""Lines about what a model runs without."""

from bench.optimizations import Optimization, decline, declined
from bench.planning.notices import without_shortcuts


class Model:
    pass


def test_a_model_runs_without_what_it_declined_and_no_other():
    one, other = Model(), Model()
    decline(one, Optimization.TOKEN_TREE)
    decline(one, Optimization.FUSED_PROJECTIONS)
    decline(one, Optimization.TOKEN_TREE)
    assert declined(one) == [Optimization.FUSED_PROJECTIONS, Optimization.TOKEN_TREE]
    [line] = without_shortcuts(declined(one))
    assert "fused projections" in line
    assert "shared beginnings" in line
    assert "frozen" not in line
    assert declined(other) == without_shortcuts([]) == []
