"""Quasi-random points (Bergstra and Bengio 2012, section 3): the trial's number is its place in the sequence, so that
servers need not agree on a counter (Optuna's, kept in the study, is raced for)."""

import warnings

from hpsearch.search.chance import believed
from hpsearch.search.history import History
from hpsearch.search.space import Floats
from hpsearch.spec import QMCSampler


def draw(history: History, options: QMCSampler, number: int, count: int) -> list[Floats]:
    """The points of the trials from `number` on."""
    from scipy.stats import qmc  # takes a second to import: not before it is used

    engine_of = qmc.Sobol if options.sequence == "sobol" else qmc.Halton
    engine = engine_of(d=len(history.space), scramble=options.scramble, seed=history.spec.seed)
    if number:
        engine.fast_forward(number)
    with warnings.catch_warnings():  # balance wants powers of two at once; we draw as trials are asked for
        warnings.filterwarnings("ignore", message="The balance properties of Sobol")
        return list(history.space.points_at(believed(history, engine.random(count), number)))
