"""All of a study's trials, however many: a page at a time, each in a transaction of its own."""

from collections.abc import Iterator

from hpsearch.service.checks import MAX_PAGE
from hpsearch.store import trials
from hpsearch.store.database import Database
from hpsearch.studies import Study
from hpsearch.trials import Trial, TrialKind


def every_trial(database: Database, study: Study, kind: TrialKind = TrialKind.SEARCH) -> Iterator[Trial]:
    """By number."""
    after = -1
    while True:
        with database.read() as tx:
            found = trials.page(tx, study, after, MAX_PAGE, kind=kind)
        yield from found
        if len(found) < MAX_PAGE:
            return
        after = found[-1].number
