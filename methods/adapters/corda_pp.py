"""CorDA++: CorDA that selects a covariance and a rank for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.calibrated import TwoModes
from methods.compactness import direction_costs, most_compact
from methods.decomposition import corda_factors, damped_covariance
from methods.lora_family import Start
from methods.parts import Setting, adapter
from methods.rank_allocation import Piece, cut_pieces
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from methods.covariance import Covariances


@adapter("corda_pp")
@dataclass(frozen=True)
class CordaPp(TwoModes):
    """CorDA with a covariance and a rank that are chosen for each layer.

    Of several C it takes the one of least log pi t / s_1, with pi = sqrt(d_out s_1) / s_n, the
    singular values s_1 to s_n of W C and t the sum of the r smallest. Ranks grow one by one where
    the next direction has the least log pi s / sum(s) (`kpm`) or the largest (`ipm`), from
    r / rho up to r rho, with no more parameters than rank r everywhere. The rest is `corda`.
    **rebuilt** from a summary by others, arXiv 2506.13187: there is no code. How the sets of facts
    are made, t, the order for `ipm`, the bounds and the budget are choices made here.

    Attributes:
        candidates: Into how many sets the calibration facts are divided, each of which gives a C.
        rho: The largest rank over r, and r over the smallest; 1 gives every layer rank r.
        spectrum: Whether s are those of W C (`wc`) or of C (`c`). **Open** in what could be read.
    """

    candidates: int = 2
    rho: float = 2.0
    spectrum: Literal["wc", "c"] = "wc"

    paper = "2506.13187"
    certainty = "rebuilt"
    learning_rate = 2e-4

    @property
    def covariance_sets(self) -> int:  # type: ignore[override]
        """How many sets of covariances are held at once."""
        return self.candidates

    def check(self) -> None:
        """Refuse less than one set, and a rho below 1."""
        super().check()
        if self.candidates < 1 or not 1 <= self.rho < float("inf"):
            given = f"candidates={self.candidates}, rho={self.rho}"
            raise UsageError(f"{given}: both must be at least 1, and finite")

    def prepare(self, setting: Setting) -> Start:
        """Choose a C for each target, and then the ranks of all."""
        return cut_pieces(super().prepare(setting), self.r, self.rho, self.end)

    def measure(self, setting: Setting) -> tuple[Covariances, ...]:
        """Return the covariances of each set of facts."""
        return self.measure_sets(setting, self.candidates)

    def of_input(self, name: str, *sets: Covariances) -> Sequence[Tensor]:
        """Return the damped C of an input by each set."""
        return [damped_covariance(one.matrices[one.input_of(name)]) for one in sets]

    def factors(self, shared: Sequence[Tensor], weight: Tensor) -> Piece:
        """Return the piece by the most compact C, of the largest rank that the layer may get."""
        largest = min(int(self.r * self.rho), *weight.shape)
        C, spectrum = most_compact(weight, shared, self.r, of_outputs=self.spectrum == "wc")
        found = corda_factors(weight, C, largest, self.scale, self.end)
        costs = direction_costs(spectrum, len(weight), largest, self.end)
        return Piece(found.B, found.A, found.singular_values, found.condition, costs)
