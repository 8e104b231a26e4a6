"""Chance, by the study's seed and the trial's number: the same on every server."""

import hashlib

import numpy as np

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
    return history.space.points_at(np.array(quantiles).reshape(count, len(history.space)))
