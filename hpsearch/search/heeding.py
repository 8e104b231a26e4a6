"""How much a sampler heeds earlier studies, and the first trials, which begin where these point."""

from typing import Any

import numpy as np

from hpsearch.search.chance import seed_of
from hpsearch.search.earlier import COMPARED, FORGOTTEN, tau, weights_of
from hpsearch.search.ended import Ended
from hpsearch.search.history import History
from hpsearch.search.space import Floats, Numbers

CANDIDATES = 8
"""Points drawn where earlier studies were good, of which a first trial takes the best."""
BY = {"by": "earlier"}
"""What a trial's sampler attributes say where it followed an earlier study."""
_MEMORY = "earlier"


def heeded(history: History) -> Floats:
    """How much each earlier study is heeded now [studies]: together at most 1, as much as the own model."""
    numbers = np.sort(np.concatenate([history.complete(), history.pruned(), history.diverged()]))
    if len(numbers) > FORGOTTEN:
        return np.zeros(len(history.knowledge.studies))
    compared = numbers[:COMPARED]
    ranks = ended_of(history, compared).ranks()
    taus = [tau(scores, -ranks) for scores in _scores(history, compared)]
    return weights_of(taus, len(compared), len(numbers))


def _scores(history: History, numbers: Numbers) -> Floats:
    """What each earlier study says of trials [studies, trials]; of each trial reckoned once."""
    known: dict[int, Floats] = history.memory.setdefault(_MEMORY, {})
    new = [number for number in numbers.tolist() if number not in known]
    if new:
        scores = history.knowledge.scores(history.points[new], range(len(history.space)))
        known.update(zip(new, scores.T, strict=True))
    nothing = np.empty((len(history.knowledge.studies), 0))
    return np.stack([known[number] for number in numbers.tolist()], axis=1) if len(numbers) else nothing


def ended_of(history: History, numbers: Numbers) -> Ended:
    """How these trials ended."""
    return Ended(
        numbers=numbers,
        losses=history.losses[numbers],
        pruned=np.isin(numbers, history.pruned()),
        infeasible=np.asarray((history.violations[numbers] > 0).any(axis=1)),
        last_steps=history.last_steps[numbers],
        last_losses=history.last_losses[numbers],
    )


def begun(history: History, number: int, points: list[Floats]) -> tuple[list[Floats], list[dict[str, Any]]]:
    """Points of the first trials, from `number` on, and what is to be remembered of them: as large a share as earlier
    studies are heeded is moved to where these were good."""
    weights = heeded(history) if history.knowledge else np.zeros(0)
    found, remembered = list(points), [dict[str, Any]() for _ in points]
    for turn, point in enumerate(points if weights.any() else ()):
        rng = np.random.default_rng([seed_of(history.spec, number + turn), 0x6561726C])
        if rng.random() < weights.sum():
            found[turn], remembered[turn] = _advised(history, weights, rng, point), dict(BY)
    return found, remembered


def _advised(history: History, weights: Floats, rng: np.random.Generator, point: Floats) -> Floats:
    candidates = np.tile(point, (CANDIDATES, 1))
    for group in history.space.groups:
        candidates[:, group] = history.knowledge.drawn(weights, rng, candidates[:, group], group)
    candidates = history.space.without_inactive(candidates)
    best = np.argmax(history.knowledge.advice(weights, candidates, range(len(history.space))))
    return np.where(np.isnan(candidates[best]), point, candidates[best])
