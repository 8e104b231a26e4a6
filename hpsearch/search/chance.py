"""Chance, by the study's seed and the trial's number: the same on every server."""

import hashlib

import numpy as np

from hpsearch.search.beliefs import follows
from hpsearch.search.history import History
from hpsearch.search.space import Floats
from hpsearch.spec import StudySpec


def seed_of(spec: StudySpec, number: int) -> int:
    """Of a trial's suggestion: 63 bits that depend on the study's seed and the trial's number alone."""
    digest = hashlib.sha256(f"hpsearch sampler {spec.seed} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_points(history: History, number: int, count: int) -> Floats:
    """Independent draws [count, dimensions] of the trials from `number` on, each by its own seed; of all dimensions,
    whether they are active or not."""
    quantiles = [
        np.random.default_rng(seed_of(history.spec, number + turn)).random(len(history.space)) for turn in range(count)
    ]
    return history.space.points_at(believed(history, np.array(quantiles).reshape(count, len(history.space)), number))


def believed(history: History, quantiles: Floats, number: int) -> Floats:
    """Uniform quantiles [trials, dimensions] of the trials from `number` on; of those that follow the study's priors,
    ever fewer, moved to where good values are thought to be."""
    if not history.beliefs:
        return quantiles
    numbers = number + np.arange(len(quantiles), dtype=np.float64)
    chances = [np.random.default_rng([seed_of(history.spec, int(item)), 0x62656C]).random() for item in numbers]
    following = follows(history.spec, numbers, np.array(chances))
    return np.where(following[:, None], history.beliefs.drawn(quantiles), quantiles)
