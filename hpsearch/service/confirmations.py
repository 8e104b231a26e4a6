"""What was confirmed, read from the runs: small, and the same on every server."""

from hpsearch.confirmation import Confirmation, Confirmed
from hpsearch.search.confirming import confirmed_of
from hpsearch.store import confirming, outcomes
from hpsearch.store.database import Transaction
from hpsearch.studies import Study
from hpsearch.trials import Trial


def find(tx: Transaction, study: Study) -> Confirmation:
    """Every configuration that is confirmed, as far as that has come."""
    counts = study.confirm_counts
    return Confirmation(
        study=study.name,
        planned=counts.created,
        finished=counts.finished,
        metric=study.spec.objective.metric,
        configurations=_configurations(tx, study) if counts.created + counts.cancelled else (),
    )


def _configurations(tx: Transaction, study: Study) -> tuple[Confirmed, ...]:
    runs: list[Trial] = confirming.runs(tx, study)
    searched = outcomes.trials_of(tx, study, sorted({run.confirms for run in runs if run.confirms is not None}))
    return confirmed_of(study.spec.objective.direction, searched, runs)
