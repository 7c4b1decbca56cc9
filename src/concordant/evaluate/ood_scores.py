"""How strange an activation vector is: Mahalanobis scores, outlier exposure, and AUROC (paper §5.4, B.9). All float64.

The simplified relative score is (x−μ)ᵀΣ⁻¹(x−μ) − (x−μ)ᵀΣ_diag⁻¹(x−μ). Σ of N vectors in D > N dimensions is singular,
and the paper does not say what it does about that. Here Σ is shrunk towards its own diagonal, (1−λ)Σ + λΣ_diag: the
second term of the score stays what it is, units of single dimensions never matter, and at λ = 1 the score is 0. λ is
estimated from the vectors (Schäfer and Strimmer 2005, target D) unless it is given. Left out: class-wise Gaussians.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray

from concordant.errors import UserError
from concordant.evaluate.intervals import clustered_mean

Vector = NDArray[np.float64]
Method = Literal["relative", "plain", "exposed"]
METHODS: tuple[str, ...] = get_args(Method)

PENALTY = 0.1
"""Weight of ½‖w‖² beside the mean loss of the linear layer, its inputs standardised; the paper states none."""

_MOST_STEPS, _GRADIENT = 500, 1e-7


@dataclass(frozen=True, slots=True)
class Gaussian:
    """What is ordinary: a Gaussian fitted on N vectors.

    Attributes:
        mean: (D,) μ.
        scale: (D,) standard deviations; 1 where a dimension does not vary.
        whitening: (D, D) W with W Wᵀ-form distance ‖W z‖² = zᵀ R_λ⁻¹ z for standardised z; R_λ is the shrunk
            correlation matrix.
        shrinkage: λ.
    """

    mean: Vector
    scale: Vector
    whitening: NDArray[np.float64]
    shrinkage: float

    @classmethod
    def fit(cls, x: Float64[np.ndarray, "N D"], shrinkage: float | None = None) -> "Gaussian":
        """Fit on vectors; dimensions that do not vary are left out of every score.

        Args:
            x: (N, D) vectors, N at least 2.
            shrinkage: λ in [0, 1]; None estimates it.

        Raises:
            UserError: too few vectors, or Σ is singular at this λ.
        """
        if len(x) < 2:
            raise UserError(f"a covariance needs at least 2 prompts to fit on, not {len(x)}; give more")
        mean, spread = x.mean(axis=0), x.std(axis=0, ddof=1)
        varies = spread > 1e-12 * max(1.0, float(np.abs(mean).max()))
        scale = np.where(varies, spread, 1.0)
        z = (x - mean) / scale * varies
        amount = shrinkage_of(z) if shrinkage is None else shrinkage
        correlation = (1 - amount) * (z.T @ z) / (len(x) - 1)
        np.fill_diagonal(correlation, 1.0)
        try:
            factor = np.linalg.cholesky(correlation)
        except np.linalg.LinAlgError:
            factor = np.zeros_like(correlation)
        if not float(np.diag(factor).min()) > 1e-6:
            raise UserError(
                f"the covariance of {len(x)} prompts in {x.shape[1]} dimensions is singular at --shrinkage {amount:g}; "
                "give more prompts or more shrinkage"
            )
        return cls(mean, scale, np.linalg.inv(factor) * varies, amount)

    def plain(self, x: Float64[np.ndarray, "N D"]) -> Vector:
        """(N,) (x−μ)ᵀΣ⁻¹(x−μ), the squared Mahalanobis distance."""
        squares: Vector = (((x - self.mean) / self.scale @ self.whitening.T) ** 2).sum(axis=1)
        return squares

    def relative(self, x: Float64[np.ndarray, "N D"]) -> Vector:
        """(N,) the simplified relative score: the distance less that of a Gaussian with the diagonal of Σ alone."""
        varies = np.diag(self.whitening) > 0
        diagonal: Vector = (((x - self.mean) / self.scale * varies) ** 2).sum(axis=1)
        return self.plain(x) - diagonal


def shrinkage_of(z: Float64[np.ndarray, "N D"]) -> float:
    """λ* = Σ Var(r_ij) / Σ r_ij² over i ≠ j: the shrinkage of a correlation matrix with the least expected squared
    error (Schäfer and Strimmer 2005), in [0, 1]; 1 where nothing is correlated.

    Args:
        z: (N, D) standardised vectors.
    """
    n = len(z)
    if n < 3:
        return 1.0
    mean = z.T @ z / n
    correlation = mean * n / (n - 1)
    off = ~np.eye(z.shape[1], dtype=bool)
    # Σ_k over i ≠ j of (z_ki z_kj)² without the N×D×D products themselves
    squares = z**2
    whole = float((squares.sum(axis=1) ** 2).sum() - (squares**2).sum())
    variance = n / (n - 1) ** 3 * (whole - n * float((mean[off] ** 2).sum()))
    strength = float((correlation[off] ** 2).sum())
    return 1.0 if strength == 0 else min(1.0, max(0.0, variance / strength))


@dataclass(frozen=True, slots=True)
class Probe:
    """A linear layer that tells outliers from ordinary vectors; its output is the score, in log odds.

    Attributes:
        mean: (D,) taken off.
        scale: (D,) divided by.
        weights: (D,) of the standardised vector.
        bias: added.
    """

    mean: Vector
    scale: Vector
    weights: Vector
    bias: float

    @classmethod
    def fit(
        cls, inside: Float64[np.ndarray, "N D"], outliers: Float64[np.ndarray, "M D"], penalty: float = PENALTY
    ) -> "Probe":
        """Few-shot outlier exposure: logistic regression of N ordinary vectors (class 0) and M outliers (class 1), each
        outlier repeated N // M times, at least once.

        The mean loss with the penalty ½·penalty·‖w‖² is strictly convex in w and has one minimum.

        Raises:
            UserError: there is no outlier or no ordinary vector.
            RuntimeError: not converged.
        """
        if not len(inside) or not len(outliers):
            raise UserError(f"{len(inside)} ordinary prompts and {len(outliers)} outliers: both are needed")
        mean, spread = inside.mean(axis=0), inside.std(axis=0)
        scale = np.where(spread > 1e-12 * max(1.0, float(np.abs(mean).max())), spread, np.inf)
        repeats = max(1, len(inside) // len(outliers))
        x = torch.from_numpy((np.concatenate([inside, outliers]) - mean) / scale)
        label = torch.cat([torch.zeros(len(inside)), torch.ones(len(outliers))]).double()
        weight = torch.cat([torch.ones(len(inside)), torch.full((len(outliers),), float(repeats))]).double()
        w, bias = _logistic(x, label, weight / weight.sum(), penalty)
        # What does not vary gets no weight; an infinite scale could not be kept in a file's JSON, nor divided by twice.
        return cls(mean, np.where(np.isfinite(scale), scale, 1.0), np.where(np.isfinite(scale), w, 0.0), bias)

    def score(self, x: Float64[np.ndarray, "N D"]) -> Vector:
        """(N,) log odds of being an outlier, as the training set has it."""
        scores: Vector = (x - self.mean) / self.scale @ self.weights + self.bias
        return scores


def _logistic(x: torch.Tensor, label: torch.Tensor, weight: torch.Tensor, penalty: float) -> tuple[Vector, float]:
    """The minimum of Σ weight·loss + ½·penalty·‖w‖², by L-BFGS."""
    w, bias = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    w.requires_grad_(True)
    bias.requires_grad_(True)
    search = torch.optim.LBFGS(
        [w, bias], max_iter=_MOST_STEPS, tolerance_grad=_GRADIENT, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> float:
        search.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(x @ w + bias, label, weight, reduction="sum")
        value = value + penalty / 2 * (w @ w)
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    search.step(loss)  # type: ignore[no-untyped-call]
    loss()
    assert w.grad is not None and bias.grad is not None
    worst = max(float(w.grad.abs().max()), float(bias.grad.abs()))
    if not worst < 1e-4:
        raise RuntimeError(f"the linear layer did not converge in {_MOST_STEPS} steps (gradient {worst:.1e})")
    return w.detach().numpy(), float(bias.detach())


@dataclass(frozen=True, slots=True)
class Auroc:
    """The probability that an outside prompt scores higher than an inside one, ties ½.

    Attributes:
        value: the area under the ROC curve.
        se: its standard error, whole clusters as units (DeLong's placements).
    """

    value: float
    se: float


def placements(inside: ArrayLike, outside: ArrayLike) -> tuple[Vector, Vector]:
    """(for each outside score the share of inside ones below it, for each inside score the share of outside ones above
    it), ties ½; in O(n log n)."""
    low, high = np.asarray(inside, dtype=np.float64), np.asarray(outside, dtype=np.float64)
    return _below(np.sort(low), high), 1 - _below(np.sort(high), low)


def _below(ordered: Vector, values: Vector) -> Vector:
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    shares: Vector = (left + right) / (2 * len(ordered))
    return shares


def auroc(
    inside: ArrayLike, outside: ArrayLike, inside_cluster: ArrayLike | None = None, outside_cluster: ArrayLike = ()
) -> Auroc:
    """AUROC of two sets of scores; it is the Mann–Whitney statistic over the number of pairs.

    Args:
        inside: scores of ordinary prompts.
        outside: scores of strange ones.
        inside_cluster: labels of what belongs together among the first; None: every score stands for itself.
        outside_cluster: the same among the second; read only if the first are given.

    Raises:
        ValueError: one of them is empty.
    """
    if not np.size(inside) or not np.size(outside):
        raise ValueError("an AUROC needs scores on both sides")
    of_outside, of_inside = placements(inside, outside)
    labels = (np.arange(len(of_inside)), np.arange(len(of_outside)))
    if inside_cluster is not None:
        labels = (np.asarray(inside_cluster), np.asarray(outside_cluster))
    value, error = clustered_mean(of_outside, labels[1])
    _, other = clustered_mean(of_inside, labels[0])
    return Auroc(value, float(np.hypot(error, other)))
