"""Bayesian optimisation with a Gaussian process (Snoek et al. 2012; the choices of Optuna 5's `GPSampler`).

Drawing is a function of a `Task`, which holds what it needs of a history and no more, so that it can be done in a
process of its own (`hpsearch.search.drawing`). Each of several points takes those before it for running: a batch is
what single draws would give. The kernel depends on the trials told alone, not on earlier fits: a restart changes
nothing. Of a long history the best and the newest trials are looked at.

Several metrics are searched as one, which is another for each point (ParEGO, Knowles 2006): the augmented Chebyshev
distance from the best of each, by weights that are drawn anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from hpsearch.sampler_spec import GPSampler
from hpsearch.search.beliefs import strength_of
from hpsearch.search.chance import seed_of
from hpsearch.search.feasible import is_feasible
from hpsearch.search.gaussian import GaussianProcess, fitted, log_improvement, log_improvement_slopes
from hpsearch.search.history import History
from hpsearch.search.space import Flags, Floats, Numbers
from hpsearch.spec import StudySpec

MOST_TOLD = 300
"""Trials that are looked at: half of them the best, the others the newest."""
MOST_DIFFERENCES = 2e7
"""Of their coordinates: where there are very many parameters, fewer trials are looked at."""
MOST_RUNNING = 100
AUGMENTED = 0.05
"""Of several metrics: how much the sum of the distances counts beside the largest (Knowles 2006)."""
NEAR = 0.9
"""The share of the trials by whose range each of several metrics counts."""
FAN = 16
"""Weights by which the best of a long history are looked for."""
CANDIDATES = 1024
"""Quasi-random points at which the acquisition is looked at first; as many again stand around the best trials."""
STARTS = 6
"""Candidates from which it is climbed."""
CLIMBS = 40
ROUNDS = 3
"""Of climbing along the numbers, then trying other listed values."""
FEW = 16
"""A parameter of as many values has each of them tried; of more, the nearest and some."""
ABREAST = (0.3, 0.1, 0.03)
"""Deviations of the points around the best trials, as shares of the ranges."""


@dataclass(frozen=True)
class Task:
    """What a draw is made from. Coordinates [trials, dimensions] as a history has them, NaN where inactive."""

    number: int
    """Of the first trial that points are drawn for."""
    count: int
    points: Floats
    losses: Floats
    """Of each metric [trials, metrics], less being better; infinite for those that diverged."""
    violations: Floats
    """Of constraints, each trial's sum of shares; 0 for feasible ones."""
    running: Floats
    told: int
    """Trials of the whole history that had been told."""

    def after(self, points: Floats) -> "Task":
        """What there is to know once these are running too."""
        running = np.concatenate([self.running, points])[-MOST_RUNNING:]
        return replace(self, number=self.number + len(points), running=running)

    def is_like(self, other: "Task") -> bool:
        """Whether the other's first points are those of this one."""
        return self.number == other.number and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True)
            for name in ("points", "losses", "violations", "running")
        )

    def record(self, turn: int = 0) -> dict[str, Any]:
        """What is remembered of the point that is drawn after `turn` others: what it was drawn from."""
        return {"by": "gp", "told": self.told, "running": min(len(self.running) + turn, MOST_RUNNING)}

    def as_json(self) -> dict[str, Any]:
        """As lists and numbers (NaN and infinities among them)."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "Task":
        """The task that `as_json` described."""
        points = np.array(found["points"], dtype=float)
        return cls(
            number=found["number"],
            count=found["count"],
            points=points,
            losses=np.array(found["losses"], dtype=float).reshape(len(points), -1),
            violations=np.array(found["violations"], dtype=float),
            running=np.array(found["running"], dtype=float).reshape(-1, points.shape[1]),
            told=found["told"],
        )


def task_of(history: History, number: int, count: int) -> Task:
    """What the next points are drawn from."""
    complete, pruned, diverged = history.complete(), history.pruned(), history.diverged()
    pruned = pruned[history.last_steps[pruned] >= 0]
    losses = history.every_loss.copy()
    if losses.shape[1] > 1:  # of what was pruned the others are not known
        pruned = pruned[:0]
    # what was pruned was seen to be no better than its fellows: never better than half of the complete ones
    middle = np.median(losses[complete, 0]) if len(complete) else -np.inf
    losses[pruned, 0] = np.maximum(history.last_losses[pruned], middle)
    told = np.concatenate([complete, pruned, diverged])
    violations = _violations(history)
    most = min(MOST_TOLD, int(np.sqrt(MOST_DIFFERENCES / max(len(history.space), 1))))
    numbers = _looked_at(told, losses, violations, most)
    return Task(
        number=number,
        count=count,
        points=history.points[numbers],
        losses=losses[numbers],
        violations=violations[numbers],
        running=history.points[history.running()[-MOST_RUNNING:]],
        told=len(told),
    )


def _violations(history: History) -> Floats:
    found = np.zeros(len(history))
    if history.spec.constraints:
        order = history.infeasible()
        found[order] = np.arange(1, len(order) + 1) / max(len(order), 1)
    return found


def _looked_at(told: Numbers, losses: Floats, violations: Floats, most: int) -> Numbers:
    """The newest, and the best of the others: by their losses, and behind all others what violates constraints."""
    told = np.sort(told)
    if len(told) <= most:
        return told
    rest, newest = told[: -(most // 2)], told[-(most // 2) :]
    wanted = most - len(newest)
    is_broken = violations[rest] > 0
    feasible, broken = rest[~is_broken], rest[is_broken]
    if len(feasible) > wanted:
        return np.sort(np.concatenate([feasible[_best(losses[feasible], wanted)], newest]))
    order = np.argsort(violations[broken], kind="stable")
    return np.sort(np.concatenate([feasible, broken[order][: wanted - len(feasible)], newest]))


def _best(losses: Floats, count: int) -> Numbers:
    """Positions of the first by losses [trials, metrics]; of several metrics of those that are among the first by any
    of many weights."""
    if losses.shape[1] == 1:
        return np.argpartition(losses[:, 0], count)[:count]
    weights = np.random.default_rng(0).dirichlet(np.ones(losses.shape[1]), size=FAN)
    found = np.full(len(losses), count)
    for by in (weighed(losses, item) for item in weights):
        first = np.argpartition(by, count)[:count]
        first = first[np.argsort(by[first], kind="stable")]
        found[first] = np.minimum(found[first], np.arange(count))
    return np.argsort(found, kind="stable")[:count]


def weighed(losses: Floats, weights: Floats) -> Floats:
    """Of losses [trials, metrics] one of each trial: Knowles 2006, equation 2. Each metric counts by its range among
    the better nine tenths of the trials: in what is far out the others would not be seen."""
    finite = np.isfinite(losses).all(axis=1)
    found = np.full(len(losses), np.inf)
    if not finite.any():
        return found
    known = losses[finite] / np.maximum(np.abs(losses[finite]).max(axis=0), 1e-300)  # or ranges would be too large
    low, high, most = known.min(axis=0), np.quantile(known, NEAR, axis=0), known.max(axis=0)
    ranges = np.where(high > low, high - low, most - low)
    shares = weights * (known - low) / np.where(ranges > 0, ranges, 1.0)
    found[finite] = shares.max(axis=1) + AUGMENTED * shares.sum(axis=1)
    return found


Drawn = tuple[Sequence[Floats], Sequence[dict[str, Any]]]
"""Points, and what is remembered of each."""
Model = Callable[[History, GPSampler, Task], Drawn]


def drawn_at_once(history: History, options: GPSampler, task: Task) -> Drawn:
    """Points of a task, in this thread."""
    points = draw(history.spec, task, options)
    return list(points), [task.record(turn) for turn in range(len(points))]


def draw(spec: StudySpec, task: Task, options: GPSampler) -> Floats:
    """Points [count, dimensions] for the trials from the task's number on; inactive dimensions are NaN."""
    scene = _Scene(History(spec))
    if not scene.searched.any():
        return np.tile(scene.history.space.points_at(np.full((1, len(scene.searched)), 0.5)), (task.count, 1))
    weights = _weights(spec, task)
    model = _Model(scene, task, options, weights[0])
    belief = strength_of(spec) / task.told if scene.history.beliefs else 0.0
    known = np.concatenate([task.points, task.running])
    found = np.empty((0, known.shape[1]))
    for turn in range(task.count):
        running = np.concatenate([task.running, found])[-MOST_RUNNING:]
        if turn and task.losses.shape[1] > 1:
            model = _Model(scene, task, options, weights[turn])
        acquisition = model.believing(scene.features(running))
        search = _Search(scene, acquisition, np.concatenate([known, found]), belief)
        point = search.best(np.random.default_rng(seed_of(spec, task.number + turn)), model.incumbents)
        found = np.concatenate([found, point[None]])
    return found


def _weights(spec: StudySpec, task: Task) -> Floats:
    """Of the metrics [points, metrics], for each point its own, by its trial's number alone."""
    metrics = task.losses.shape[1]
    seeds = [seed_of(spec, task.number + turn) for turn in range(task.count)]
    if metrics == 1:
        return np.ones((task.count, 1))
    return np.array([np.random.default_rng([seed, 0x77656967]).dirichlet(np.ones(metrics)) for seed in seeds])


class _Scene:
    """A space as the process sees it. A place [dimensions] holds quantiles from 0 to 1 of all dimensions, active or
    not; its features are the quantiles of the values that it stands for."""

    def __init__(self, history: History) -> None:
        self.history, self.space = history, history.space
        dimensions = self.space.dimensions
        self.searched: Flags = np.array([not item.single for item in dimensions], dtype=bool)
        self.nominal: Flags = np.array([item.nominal for item in dimensions], dtype=bool)
        self.counts = [0 if item.step is None else 1 + round((item.high - item.low) / item.step) for item in dimensions]
        """Values of each dimension; 0: continuous."""

    def points(self, places: Floats) -> Floats:
        """Coordinates [places, dimensions], NaN where inactive."""
        return self.space.without_inactive(self.space.points_at(places))

    def features(self, points: Floats) -> Floats:
        """[points, dimensions]: what is inactive stands in the middle of its range, or is a choice of its own."""
        found = np.full(points.shape, 0.5)
        for index in np.flatnonzero(self.searched):
            there = ~np.isnan(points[:, index])
            found[there, index] = self.space.dimensions[index].cell_shares(points[there, index])
            if self.nominal[index]:
                found[~there, index] = -1.0
        return found

    def is_allowed(self, points: Floats) -> Flags:
        return is_feasible(self.history, points)

    def alternatives(self, index: int, place: float, rng: np.random.Generator) -> Floats:
        """Quantiles of other values of a dimension of listed values or steps; where they are many, of the nearest and
        some."""
        count = self.counts[index]
        here = min(int(place * count), count - 1)
        if count <= FEW:
            cells = np.arange(count)
        else:
            near = here + np.array([-8, -4, -2, -1, 1, 2, 4, 8])
            cells = np.unique(np.concatenate([near, rng.integers(count, size=FEW // 2)]))
            cells = cells[(cells >= 0) & (cells < count)]
        cells = cells[cells != here]
        dimension = self.space.dimensions[index]
        if dimension.choices is not None:
            return np.asarray((cells + 0.5) / count)
        return dimension.cell_shares(dimension.low + cells * float(dimension.step or 0.0))


class _Model:
    """What is thought of the function, and of where constraints are kept, given the trials that were told."""

    def __init__(self, scene: _Scene, task: Task, options: GPSampler, weights: Floats) -> None:
        self._features = scene.features(task.points)
        nominal = scene.nominal
        losses = task.losses[:, 0] if len(weights) == 1 else weighed(task.losses, weights)
        self._process = fitted(self._features, _standard(losses), nominal, is_exact=options.deterministic)
        feasible = task.violations == 0
        self._bounds: GaussianProcess | None = None
        if not feasible.all():
            # least-squares classification, Rasmussen and Williams 2006, section 6.5; the worse the further
            self._bounds = fitted(self._features, np.where(feasible, -1.0, 0.5 + task.violations), nominal,
                                  is_exact=False)  # fmt: skip
        means = self._process.at(self._features)[0]
        self._best = float(means[feasible].min()) if feasible.any() else None
        order = np.lexsort((means, task.violations))[:STARTS]
        self.incumbents = scene.features(task.points[order])
        """Features of the best trials."""

    def believing(self, running: Floats) -> "Acquisition":
        """The acquisition beside points that run."""
        bounds = self._bounds.believing(running) if self._bounds else None
        # no better than the best so far: a better one would promise an improvement that nobody has seen, there again
        floor = -np.inf if self._best is None else self._best
        return Acquisition(self._process.believing(running, floor), bounds, self._best)


def _standard(losses: Floats) -> Floats:
    """Of mean 0 and variance 1. What diverged counts as the worst of the others, and what lies far out on the bad side
    (Tukey 1977: three times the quartiles' distance beyond the upper one) as bad as that: how bad it is teaches nothing
    of where the good ones are."""
    finite = np.isfinite(losses)
    if not finite.any():
        return np.zeros(len(losses))
    losses = losses / max(np.abs(losses[finite]).max(), 1e-300)  # or squares would be too large
    lower, upper = np.quantile(losses[finite], (0.25, 0.75))
    worst = losses[finite].max()
    losses = np.minimum(np.where(finite, losses, worst), upper + 3 * (upper - lower) if upper > lower else worst)
    deviation = losses.std()
    return np.asarray((losses - losses.mean()) / (deviation if deviation > 0 else 1.0))


@dataclass(frozen=True)
class Acquisition:
    """The logarithm of the expected improvement, times the probability that constraints are kept."""

    process: GaussianProcess
    bounds: GaussianProcess | None
    best: float | None
    """Of the feasible trials; None without one: then only the constraints count."""

    def at(self, features: Floats) -> Floats:
        """[points]"""
        total = np.zeros(len(features))
        if self.best is not None:
            total += log_improvement(*self.process.at(features), self.best)
        if self.bounds is not None:
            means, variances = self.bounds.at(features)
            total += log_ndtr(-means / np.sqrt(variances))
        return total

    def slopes_at(self, feature: Floats) -> tuple[float, Floats]:
        """At one point, with its derivatives [dimensions]."""
        total, slopes = 0.0, np.zeros(len(feature))
        if self.best is not None:
            total, slopes = log_improvement_slopes(*self.process.slopes_at(feature), self.best)
        if self.bounds is not None:
            mean, variance, by_mean, by_variance = self.bounds.slopes_at(feature)
            z = -mean / np.sqrt(variance)
            log_kept = float(log_ndtr(z))
            ratio = np.exp(-0.5 * z * z - 0.5 * np.log(2 * np.pi) - log_kept)
            total += log_kept
            slopes = slopes + ratio * (-by_mean / np.sqrt(variance) - 0.5 * z * by_variance / variance)
        return total, slopes


class _Search:
    """Looks for the point with the greatest acquisition that is allowed and that no trial has. `belief` is the weight
    of the log density of the study's priors."""

    def __init__(self, scene: _Scene, acquisition: Acquisition, taken: Floats, belief: float) -> None:
        self._scene, self._acquisition, self._taken = scene, acquisition, taken
        self._belief, self._beliefs = belief, scene.history.beliefs
        free = scene.searched & ~scene.nominal
        self._climbed = [i for i in np.flatnonzero(free) if not 0 < scene.counts[i] <= FEW]
        self._listed = [int(i) for i in np.flatnonzero(scene.searched) if scene.counts[i]]

    @cached_property
    def _taken_rows(self) -> set[bytes]:
        return {row.tobytes() for row in self._taken}

    def _values(self, places: Floats) -> Floats:
        """The acquisition at places; less than anything where it is not allowed or taken."""
        points = self._scene.points(places)
        values = self._acquisition.at(self._scene.features(points))
        if self._belief:
            values += self._belief * self._beliefs.log_density(points)
        values[~self._scene.is_allowed(points)] = -np.inf
        values[[row.tobytes() in self._taken_rows for row in points]] = -np.inf
        return values

    def best(self, rng: np.random.Generator, incumbents: Floats) -> Floats:
        """A point [dimensions]."""
        places = self._candidates(rng, incumbents)
        values = self._values(places)
        starts = _starts(values, rng)
        if not len(starts):  # all is taken, or nothing that is allowed was found
            return np.asarray(self._scene.points(places[:1])[0])
        climbed = [self._climb(places[start], float(values[start]), rng) for start in starts]
        place, _ = max(climbed, key=lambda found: found[1])
        return np.asarray(self._scene.points(place[None])[0])

    def _candidates(self, rng: np.random.Generator, incumbents: Floats) -> Floats:
        from scipy.stats import qmc  # half a second to import, which every server would pay that has no such study

        size = len(self._scene.searched)
        everywhere = qmc.Sobol(size, scramble=True, seed=rng).random(CANDIDATES)
        if self._belief:
            following = rng.random(CANDIDATES) < 0.5
            everywhere[following] = self._beliefs.drawn(everywhere[following])
        centers = np.clip(incumbents, 0.0, 1.0)[rng.integers(len(incumbents), size=CANDIDATES)]
        moved = rng.random(centers.shape) < max(0.3, 1.0 / size)
        near = centers + moved * rng.choice(ABREAST, size=(CANDIDATES, 1)) * rng.normal(size=centers.shape)
        other = moved & self._scene.nominal
        near[other] = rng.random(int(other.sum()))
        return np.concatenate([everywhere, np.clip(near, 0.0, np.nextafter(1.0, 0.0))])

    def _climb(self, place: Floats, value: float, rng: np.random.Generator) -> tuple[Floats, float]:
        """A place that is as good at least, and its acquisition."""
        for _ in range(ROUNDS):
            before = value
            if self._climbed:
                place, value = self._ascend(place, value)
            for index in self._listed:
                place, value = self._try_others(place, value, index, rng)
            if not self._listed or value <= before + 1e-6:
                break
        return place, value

    def _ascend(self, place: Floats, value: float) -> tuple[Floats, float]:
        """Along the gradient of the numbers that are active, by L-BFGS."""
        scene = self._scene
        point = scene.points(place[None])
        moved = [index for index in self._climbed if not np.isnan(point[0, index])]
        if not moved:
            return place, value
        feature = scene.features(point)[0]

        def falling(shares: Floats) -> tuple[float, Floats]:
            feature[moved] = shares
            at, slopes = self._acquisition.slopes_at(feature)
            if self._belief:
                believed = [self._beliefs.at_share(int(index), feature[index]) for index in moved]
                at += self._belief * sum(value for value, _ in believed)
                slopes[moved] += self._belief * np.array([slope for _, slope in believed])
            return -at, -slopes[moved]

        from scipy.optimize import minimize

        found = minimize(falling, feature[moved], jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(moved),
                         options={"maxiter": CLIMBS, "ftol": 1e-9})  # fmt: skip
        reached = place.copy()
        reached[moved] = np.clip(found.x, 0.0, np.nextafter(1.0, 0.0))
        # back where a constraint over parameters is in the way
        tried = np.array([place + share * (reached - place) for share in (1.0, 0.75, 0.5, 0.25, 0.1)])
        return self._better(tried, place, value)

    def _try_others(self, place: Floats, value: float, index: int, rng: np.random.Generator) -> tuple[Floats, float]:
        shares = self._scene.alternatives(index, float(place[index]), rng)
        if not len(shares):
            return place, value
        tried = np.repeat(place[None], len(shares), axis=0)
        tried[:, index] = shares
        return self._better(tried, place, value)

    def _better(self, tried: Floats, place: Floats, value: float) -> tuple[Floats, float]:
        """The best of the places tried, and its acquisition, if it beats a place's; otherwise that place."""
        values = self._values(tried)
        chosen = int(np.argmax(values))
        return (tried[chosen], float(values[chosen])) if values[chosen] > value else (place, value)


def _starts(values: Floats, rng: np.random.Generator) -> Sequence[int]:
    """The best candidate, and others by lot, the better ones the likelier."""
    best = int(np.argmax(values))
    if values[best] == -np.inf:
        return []
    chances = np.exp(values - values[best])
    chances[best] = 0.0
    others = min(STARTS - 1, int(np.count_nonzero(chances)))
    if not others:
        return [best]
    return [best, *map(int, rng.choice(len(values), size=others, replace=False, p=chances / chances.sum()))]
