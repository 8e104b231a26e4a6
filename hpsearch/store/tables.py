"""The tables. Times are seconds since the epoch, by the database's clock, the same on every backend."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()

# json rather than jsonb on PostgreSQL: it keeps the order of a space's parameters
Json = JSON(none_as_null=True)
Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself for INTEGER alone

studies = Table(
    "studies",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("objective", Text),  # the spec's objective name: what workers filter by
    Column("spec", Text, nullable=False),  # as the spec prints itself; of it the budget's trials alone may change
    Column("budget_trials", BigInteger),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("revision", BigInteger, nullable=False),
    Column("waiting", BigInteger, nullable=False),
    Column("running", BigInteger, nullable=False),
    Column("paused", BigInteger, nullable=False, server_default="0"),
    Column("complete", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    # runs that confirm the best configurations: none of the counts above
    Column("confirm_waiting", BigInteger, nullable=False, server_default="0"),
    Column("confirm_running", BigInteger, nullable=False, server_default="0"),
    Column("confirm_complete", BigInteger, nullable=False, server_default="0"),
    Column("confirm_pruned", BigInteger, nullable=False, server_default="0"),
    Column("confirm_failed", BigInteger, nullable=False, server_default="0"),
    Column("confirm_cancelled", BigInteger, nullable=False, server_default="0"),
    Column("max_parallel", BigInteger),
    Column("budget_compute", Double),
    Column("compute_seconds", Double, nullable=False, server_default="0"),  # of the search's claims that are over
    Column("confirm_seconds", Double, nullable=False, server_default="0"),  # of those that confirm
    # when the search's running trials were claimed, in seconds after created_at, summed: what they have spent so far
    # is running * (now - created_at) less this
    Column("claimed_from", Double, nullable=False, server_default="0"),
    Column("improved_at", BigInteger, nullable=False, server_default="0"),  # finished trials when the best was told
    Column("best_number", BigInteger),
    Column("best_value", Double),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ends_at", Double),  # started_at + the budget's wall clock
    Column("searched_at", Double),  # the search's end; what comes after confirms
    Column("ended_at", Double),
    Column("ended_because", Text),
    Column("optuna", Text),  # what Optuna's storage interface knows beyond these columns (search/storage.py)
    Index("studies_by_state", "state", "id"),
    sqlite_autoincrement=True,  # the id of a deleted study is never given again
)

trials = Table(
    "trials",
    metadata,
    Column("study_id", ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("parameters", Json, nullable=False),
    Column("sampler_attributes", Json, nullable=False),
    Column("seen", BigInteger),  # the study's revision that the sampler looked at …
    Column("together", BigInteger),  # … and how many trials it was asked for at once
    Column("enqueued", Boolean, nullable=False),
    Column("confirms", BigInteger),  # the searched trial whose configuration it has; none for trials of the search
    Column("seed", BigInteger),  # where it is not the one that the number gives
    Column("values", Json),
    Column("metrics", Json, nullable=False),
    Column("reason", Text),
    Column("pruning", Json),  # the newest report's, where the pruner wanted the trial to end or pause there
    Column("rung", BigInteger),  # where it is to pause or has paused, and with what value; none while it goes on
    Column("rung_value", Double),
    Column("last_step", BigInteger),
    Column("last_value", Double),
    Column("best_value", Double),  # the best report so far: what the median pruner looks at
    # the lease
    Column("attempt", BigInteger, nullable=False),
    Column("crashes", BigInteger, nullable=False),  # attempts that count against max_attempts
    Column("worker", Text),
    Column("session", Text),
    Column("lease_token", Text),
    Column("lease_seconds", Double),
    Column("lease_ends_at", Double),
    Column("request_id", Text),  # the ask that made it: the same ask again is answered with the same trials
    Column("revision", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("optuna", Text),  # what Optuna's storage interface knows beyond these columns (search/storage.py)
    Index("trials_by_revision", "study_id", "revision", unique=True),
    Index("trials_by_state", "study_id", "state", "number"),
    # the reaper's; `lease_ends_at` is in no index: a report that extends a lease stays within the row on PostgreSQL
    Index(
        "trials_running",
        "study_id",
        "number",
        postgresql_where=text("state = 'running'"),
        sqlite_where=text("state = 'running'"),
    ),
    Index(
        "trials_by_worker",
        "worker",
        postgresql_where=text("state = 'running'"),
        sqlite_where=text("state = 'running'"),
    ),
    # who may be promoted: of each rung the best first. These columns change with pauses alone, not with every report
    Index(
        "trials_paused",
        "study_id",
        "rung",
        "rung_value",
        postgresql_where=text("state = 'paused'"),
        sqlite_where=text("state = 'paused'"),
    ),
    Index(
        "trials_confirming",
        "study_id",
        "number",
        postgresql_where=text("confirms IS NOT NULL"),
        sqlite_where=text("confirms IS NOT NULL"),
    ),
    Index(
        "trials_by_request",
        "study_id",
        "request_id",
        postgresql_where=text("request_id IS NOT NULL"),
        sqlite_where=text("request_id IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": 80},
)

# apart from `studies`, whose rows every claim reads: of one study up to a few hundred kilobytes, read once
earlier = Table(
    "earlier",
    metadata,
    Column("study_id", ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("place", BigInteger, primary_key=True, autoincrement=False),  # in the spec's list
    Column("found", Json, nullable=False),  # what that study had found when this one was created
)

events = Table(
    "events",
    metadata,
    Column("study_id", ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger),  # the trial's; none where the study itself changed
    Column("state", Text, nullable=False),
    Column("attempt", BigInteger),
    Column("worker", Text),
    Column("value", Double),
    Column("reason", Text),
    Column("happened_at", Double, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("study_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("decision", Text, nullable=False),
    Column("reported_at", Double, nullable=False),
    Column("violates", Boolean),  # a constraint, by what was measured then; NULL: not that we know
    ForeignKeyConstraint(["study_id", "number"], ["trials.study_id", "trials.number"], ondelete="CASCADE"),
    # all that ranks look at, so that they need not look at the table
    Index("reports_by_step", "study_id", "step", "value", "number", "violates"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("session", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("slots", BigInteger, nullable=False),
    Column("objectives", Json, nullable=False),
    Column("version", Text, nullable=False),
    Column("finished", BigInteger, nullable=False),
    Column("registered_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

objectives = Table(
    "objectives",
    metadata,
    Column("name", Text, primary_key=True),
    Column("info", Json, nullable=False),  # what a user's own objective says of itself
    Column("published_at", Double, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("study_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("path", Text, nullable=False),  # below the artifact folder
    Column("created_at", Double, nullable=False),
    ForeignKeyConstraint(["study_id", "number"], ["trials.study_id", "trials.number"], ondelete="CASCADE"),
)
