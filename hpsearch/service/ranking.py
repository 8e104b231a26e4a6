"""The trials of a study from the best on, read as far as they are wanted."""

from collections.abc import Iterator

import numpy as np

from hpsearch.search.fronts import by_fronts
from hpsearch.search.space import Numbers
from hpsearch.search.table import Table
from hpsearch.service.tables import Tables
from hpsearch.store import outcomes
from hpsearch.store.database import Database
from hpsearch.studies import Study
from hpsearch.trials import Trial

PAGE = 100
"""Trials that are read at a time."""
MOST_SPREAD = 100
"""Trials that are chosen for how much of the front they keep together, where more are wanted than fit on it."""
MOST_RANKED = 2000
"""Trials of several metrics that are ranked: front after front, of a long study all would take minutes."""


def best_first(database: Database, tables: Tables, study: Study) -> Iterator[Trial]:
    """The complete trials that violate no constraint: by the metric, of equals the first; by several front after front,
    the first `MOST_RANKED` of them."""
    numbers = ranked(tables.table(study)).tolist()
    for start in range(0, len(numbers), PAGE):
        with database.read() as tx:
            found = outcomes.trials_of(tx, study, numbers[start : start + PAGE])
        yield from found


def ranked(table: Table) -> Numbers:
    """Their numbers."""
    complete = table.complete()
    feasible = complete[~table.infeasible[complete]]
    losses = table.losses(feasible)
    if table.spec.objective.has_several:
        return feasible[by_fronts(losses, MOST_RANKED, min(len(feasible), MOST_SPREAD))]
    return feasible[np.argsort(losses[:, 0], kind="stable")]
