"""Gaussian-process regression on the unit cube: a Matérn 5/2 kernel with a length scale a dimension (Rasmussen and
Williams 2006, chapters 2 and 5), and the logarithm of the expected improvement (Ament et al. 2023, arXiv:2310.20708).

The same kernel and the same priors of its parameters as Optuna 5's `GPSampler`, on numpy and scipy alone.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import erfcx, log_ndtr, ndtr

from hpsearch.search.space import Flags, Floats

LEAST_NOISE = 1e-6
"""Variance of an observation, of values of variance 1."""
_TINY_VARIANCE = 1e-12
_LOG_BOUND = 12.0
_LOG_ROOT_TAU = 0.5 * float(np.log(2 * np.pi))
_ROOT_HALF_PI = float(np.sqrt(np.pi / 2))


@dataclass(frozen=True)
class Kernel:
    """`scale` * Matérn 5/2 of the distance whose squares `weights` [dimensions] weigh (inverse squared length scales);
    in a `nominal` [dimensions] dimension all that differs is 1 apart. `noise` is an observation's variance."""

    weights: Floats
    scale: float
    noise: float
    nominal: Flags

    def between(self, one: Floats, other: Floats) -> Floats:
        """Covariances [one, other] of the function at points [., dimensions]."""
        root = np.sqrt(self.weights[~self.nominal])
        a, b = one[:, ~self.nominal] * root, other[:, ~self.nominal] * root
        squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
        for index in np.flatnonzero(self.nominal):
            squares += self.weights[index] * (one[:, index][:, None] != other[:, index])
        return self.scale * _matern(np.maximum(squares, 0.0))[0]

    def slopes(self, point: Floats, others: Floats) -> tuple[Floats, Floats]:
        """The covariances [others] of the function at a point with that at others [others, dimensions], and their
        derivatives [others, dimensions] by the point (0 along nominal dimensions)."""
        apart = point - others
        apart[:, self.nominal] = apart[:, self.nominal] != 0
        values, slope = _matern(apart**2 @ self.weights)
        derivatives = (2 * self.scale * slope)[:, None] * (apart * self.weights)
        derivatives[:, self.nominal] = 0.0
        return self.scale * values, derivatives


def _matern(squares: Floats) -> tuple[Floats, Floats]:
    """Matérn 5/2 at squared distances, and its derivative by them."""
    distance = np.sqrt(5.0 * squares)
    decay = np.exp(-distance)
    return (1.0 + distance + distance * distance / 3.0) * decay, -5.0 / 6.0 * (1.0 + distance) * decay


class GaussianProcess:
    """A function's distribution given `values` [observations] at `points` [observations, dimensions]; its mean without
    observations is 0."""

    def __init__(self, kernel: Kernel, points: Floats, values: Floats) -> None:
        self.kernel, self.points, self.values = kernel, points, values
        covariance = kernel.between(points, points)
        covariance[np.diag_indices_from(covariance)] = kernel.scale + kernel.noise + _TINY_VARIANCE
        self._root = cholesky(covariance, lower=True)
        self._weights = cho_solve((self._root, True), values)

    def at(self, points: Floats) -> tuple[Floats, Floats]:
        """Means and variances [points] of the function at points [points, dimensions]."""
        across = self.kernel.between(points, self.points)
        explained = solve_triangular(self._root, across.T, lower=True, check_finite=False)
        variance = self.kernel.scale - np.einsum("op,op->p", explained, explained)
        return across @ self._weights, np.maximum(variance, _TINY_VARIANCE)

    def slopes_at(self, point: Floats) -> tuple[float, float, Floats, Floats]:
        """Mean and variance at one point [dimensions], and the derivatives [dimensions] of both."""
        across, slopes = self.kernel.slopes(point, self.points)
        back = cho_solve((self._root, True), across, check_finite=False)
        variance = max(self.kernel.scale - float(across @ back), _TINY_VARIANCE)
        return float(across @ self._weights), variance, slopes.T @ self._weights, -2.0 * (slopes.T @ back)

    def believing(self, points: Floats, floor: float = -np.inf) -> "GaussianProcess":
        """With observations at `points` more, each of the value that is expected there, but `floor` at least: between
        the Kriging believer and the constant liar (Ginsbourger et al. 2010)."""
        if not len(points):
            return self
        values = np.concatenate([self.values, np.maximum(self.at(points)[0], floor)])
        return GaussianProcess(self.kernel, np.concatenate([self.points, points]), values)


def fitted(points: Floats, values: Floats, nominal: Flags, *, is_exact: bool) -> GaussianProcess:
    """With the most plausible kernel: the highest marginal likelihood times priors, from one start by L-BFGS.

    `values` have mean 0 and variance 1. `is_exact` says that there is no noise in them.
    """
    from scipy.optimize import minimize  # half a second to import, which every server would pay that has no such study

    apart = points.T[:, :, None] - points.T[:, None, :]
    apart[nominal] = apart[nominal] != 0
    squares = (apart * apart).reshape(len(nominal), -1)
    start = np.zeros(len(nominal) + 2)
    start[-1] = np.log(LEAST_NOISE if is_exact else 0.1)
    bounds = [(-_LOG_BOUND, _LOG_BOUND)] * (len(start) - 1)
    bounds.append((start[-1], start[-1]) if is_exact else (np.log(LEAST_NOISE), _LOG_BOUND))
    found = minimize(
        _implausibility,
        start,
        args=(squares, values),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"gtol": 1e-2, "maxiter": 100},
    )
    logs = found.x if np.isfinite(found.fun) else start
    return GaussianProcess(_kernel(logs, nominal), points, values)


def _kernel(logs: Floats, nominal: Flags) -> Kernel:
    plain = np.exp(logs)
    return Kernel(plain[:-2], float(plain[-2]), float(plain[-1]), nominal)


def _implausibility(logs: Floats, squares: Floats, values: Floats) -> tuple[float, Floats]:
    """Minus the log of the marginal likelihood times the priors, up to a constant, and its derivatives, by the
    logarithms of the kernel's weights, scale and noise; `squares` [dimensions, observations * observations]."""
    weights, scale, noise = np.exp(logs[:-2]), float(np.exp(logs[-2])), float(np.exp(logs[-1]))
    count = len(values)
    matern, slope = _matern(weights @ squares)
    covariance = (scale * matern).reshape(count, count)
    covariance[np.diag_indices(count)] += noise + _TINY_VARIANCE
    try:
        root = cholesky(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return np.inf, np.zeros_like(logs)
    inverse = cho_solve((root, True), np.eye(count), check_finite=False)
    solved = inverse @ values
    likelihood = -np.log(np.diag(root)).sum() - 0.5 * values @ solved
    # its derivative by the covariance, Rasmussen and Williams 2006, equation 5.9
    pull = (0.5 * (np.outer(solved, solved) - inverse)).ravel()
    gradient = np.empty_like(logs)
    gradient[:-2] = weights * scale * (squares @ (pull * slope)) + 0.1 / weights - 0.1 * weights
    gradient[-2] = scale * (pull @ matern) + 1.0 - scale
    gradient[-1] = noise * pull[:: count + 1].sum() + 0.1 - 30.0 * noise
    prior = -0.1 * (1.0 / weights + weights).sum() + np.log(scale) - scale + 0.1 * np.log(noise) - 30.0 * noise
    return -float(likelihood + prior), -gradient


def log_improvement(means: Floats, variances: Floats, best: float) -> Floats:
    """The logarithm of the expected improvement below `best`."""
    deviations = np.sqrt(variances)
    return np.log(deviations) + _log_h((best - means) / deviations)


def log_improvement_slopes(
    mean: float, variance: float, mean_slopes: Floats, variance_slopes: Floats, best: float
) -> tuple[float, Floats]:
    """The same at one point, with its derivatives."""
    deviation = np.sqrt(variance)
    z = (best - mean) / deviation
    log_h = float(_log_h(np.array([z]))[0])
    by_mean = -np.exp(log_ndtr(z) - log_h) / deviation
    by_deviation = np.exp(-0.5 * z * z - _LOG_ROOT_TAU - log_h) / deviation
    return float(np.log(deviation)) + log_h, by_mean * mean_slopes + by_deviation / (2 * deviation) * variance_slopes


def _log_h(z: Floats) -> Floats:
    """log(density(z) + z * distribution(z)) of the standard normal; Ament et al. 2023, equation 9."""
    low = z < -25.0
    middle, tail = np.where(low, 0.0, z), np.where(low, z, -26.0)
    density = np.exp(-0.5 * middle * middle - _LOG_ROOT_TAU)
    near = np.maximum(tail, -1e5)  # beyond, the series' first term is all that is left of it
    factor = np.log1p(_ROOT_HALF_PI * near * erfcx(-np.sqrt(0.5) * near)) + 2 * np.log(near / tail)
    far = -0.5 * tail * tail - _LOG_ROOT_TAU + factor
    return np.asarray(np.where(low, far, np.log(np.maximum(density + middle * ndtr(middle), 1e-300))))
