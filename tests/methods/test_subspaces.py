"""One end of a spectrum against exact SVDs, on each of the ways to it."""

import pytest
import torch

from methods import krylov, subspaces
from methods.subspaces import End, left_subspace

SHAPES = [(120, 120), (90, 200), (200, 90)]
RANK = 8


def gaussian(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_spectrum(S, shape, seed=0):
    U = torch.linalg.qr(gaussian((shape[0], len(S)), seed)).Q
    V = torch.linalg.qr(gaussian((shape[1], len(S)), seed + 1)).Q
    return (U * S) @ V.T, U


def distance(U, exact):
    """Sine of the largest angle between two subspaces of the same dimension."""
    return float(torch.linalg.matrix_norm(U - exact @ (exact.T @ U), 2))


def steep(count):
    return torch.logspace(0, -6, count, dtype=torch.float64)


def flat(count):
    S = 10 * 0.994 ** torch.arange(count, dtype=torch.float64)
    S[0] = 300.0
    return S


@pytest.fixture
def ways(monkeypatch):
    """Count which ways were gone to the end, by name."""
    gone = []
    for name in ("_by_products", "_by_krylov", "_by_corrections", "_by_svd"):
        way = getattr(subspaces, name)

        def watched(*args, way=way, name=name):
            found = way(*args)
            gone.extend([name] if found is not None else [])
            return found

        monkeypatch.setattr(subspaces, name, watched)
    return gone


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize(("spectrum", "way"), [(steep, "_by_products"), (flat, "_by_corrections")])
def test_each_end_of_each_spectrum(shape, end, spectrum, way, ways):
    S = spectrum(min(shape))
    M, U = with_spectrum(S, shape)
    found = left_subspace(M, RANK, end)
    chosen = slice(0, RANK) if end is End.LARGEST else slice(len(S) - RANK, None)
    assert ways == [way]
    assert distance(found.U, U[:, chosen]) < 1e-7
    assert torch.allclose(found.S, S[chosen], rtol=1e-7)
    if end is End.SMALLEST:
        assert found.condition == pytest.approx(float(S[0] / S[-1]), rel=0.01)


def test_a_flat_spectrum_is_not_tried_by_products_where_it_is_known_to_be(ways, monkeypatch):
    monkeypatch.setattr(subspaces, "_by_products", None)
    S = flat(90)
    M, U = with_spectrum(S, (90, 200))
    found = left_subspace(M, RANK, End.LARGEST, steep=False)
    assert ways == ["_by_corrections"]
    assert distance(found.U, U[:, :RANK]) < 1e-7
    assert found.condition == pytest.approx(float(S[0] / S[-1]), rel=0.05)


@pytest.mark.parametrize("end", End)
def test_the_angle_that_is_asked_for_is_there_for_a_reason(end, monkeypatch):
    monkeypatch.setattr(subspaces, "ANGLE", 1.0)
    S = flat(120)
    M, U = with_spectrum(S, (120, 120))
    chosen = slice(0, RANK) if end is End.LARGEST else slice(len(S) - RANK, None)
    assert distance(left_subspace(M, RANK, end).U, U[:, chosen]) > 1e-7


def test_the_small_end_is_not_squared():
    S = torch.logspace(0, -9, 100, dtype=torch.float64)
    M, U = with_spectrum(S, (100, 130))
    found = left_subspace(M, RANK, End.SMALLEST)
    assert distance(found.U, U[:, -RANK:]) < 1e-5
    assert found.condition == pytest.approx(1e9, rel=0.01)
    squared = torch.linalg.eigh(M @ M.T).eigenvectors[:, :RANK]
    assert distance(squared, U[:, -RANK:]) > 1e-3


@pytest.mark.parametrize("end", End)
def test_an_svd_takes_over_without_full_rank(end, ways):
    M, U = with_spectrum(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64), (100, 160))
    found = left_subspace(M, RANK, end)
    assert ways[-1] == "_by_svd"
    assert torch.isfinite(found.U).all()
    assert (found.S > 0).all()
    if end is End.LARGEST:
        assert distance(U, found.U) < 1e-7


@pytest.mark.parametrize("end", End)
def test_a_rank_as_large_as_the_matrix(end, ways):
    M, _ = with_spectrum(steep(100), (100, 160))
    assert left_subspace(M, 100, end).U.shape == (100, 100)
    assert ways == ["_by_svd"]


@pytest.fixture
def large(monkeypatch):
    """Let matrices of some hundred columns count as large."""
    monkeypatch.setattr(krylov, "FROM", 500)


@pytest.mark.parametrize("shape", [(600, 600), (560, 900), (900, 560)])
@pytest.mark.parametrize("end", End)
def test_a_large_matrix_is_searched_by_a_small_space(shape, end, large, ways):
    S = flat(min(shape))
    M, U = with_spectrum(S, shape)
    found = left_subspace(M, RANK, end)
    chosen = slice(0, RANK) if end is End.LARGEST else slice(len(S) - RANK, None)
    assert ways == ["_by_krylov"]
    assert distance(found.U, U[:, chosen]) < 1e-7
    assert torch.allclose(found.S, S[chosen], rtol=1e-7)


def test_a_large_matrix_without_any_gap_is_searched_so_too(large, ways):
    M = gaussian((700, 700), seed=3)
    found = left_subspace(M, RANK, End.LARGEST, steep=False)
    assert ways == ["_by_krylov"]
    assert distance(found.U, torch.linalg.svd(M).U[:, :RANK]) < 1e-7
    assert found.condition is None, "a small space does not show the other end"


@pytest.mark.parametrize(("rounds", "rank"), [(1, RANK), (krylov.ROUNDS, 20)])
def test_too_few_spaces_or_too_large_ones_leave_it_to_a_whole_decomposition(
    rounds, rank, large, ways, monkeypatch
):
    monkeypatch.setattr(krylov, "ROUNDS", rounds)
    M = gaussian((600, 600), seed=3)
    found = left_subspace(M, rank, End.LARGEST, steep=False)
    assert ways == ["_by_corrections"]
    assert distance(found.U, torch.linalg.svd(M).U[:, :rank]) < 1e-7
