"""Quasi-random points (Bergstra and Bengio 2012, section 3): the trial's number is its place in the sequence, so that
servers need not agree on a counter (Optuna's, kept in the study, is raced for)."""

import importlib
import sys
import threading
import warnings

from hpsearch.sampler_spec import QMCSampler
from hpsearch.search.chance import believed
from hpsearch.search.history import History
from hpsearch.search.space import Floats

_ENGINES = "scipy.stats.qmc"


def import_ahead() -> None:
    """Import what draws need in a thread, unless it is there: it takes a second, which the first draw waits otherwise,
    and whoever is answered with it."""
    if _ENGINES not in sys.modules:  # no daemon: the end of a process must not come in the midst of a library's start
        threading.Thread(target=importlib.import_module, args=(_ENGINES,), name="imports").start()


def draw(history: History, options: QMCSampler, number: int, count: int) -> list[Floats]:
    """The points of the trials from `number` on."""
    from scipy.stats import qmc  # takes a second to import: no server starts with it

    engine_of = qmc.Sobol if options.sequence == "sobol" else qmc.Halton
    engine = engine_of(d=len(history.space), scramble=options.scramble, seed=history.spec.seed)
    if number:
        engine.fast_forward(number)
    with warnings.catch_warnings():  # balance wants powers of two at once; we draw as trials are asked for
        warnings.filterwarnings("ignore", message="The balance properties of Sobol")
        return list(history.space.points_at(believed(history, engine.random(count), number)))
