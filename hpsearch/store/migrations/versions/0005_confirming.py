"""Runs that confirm the best configurations, counted apart from the search; when and why a search ended."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CONFIRMING = sa.text("confirms IS NOT NULL")
# the words in which the versions before gave its reasons
REASONS = {"all %": "trials", "its wall clock %": "wall_clock", "trial % reached the target%": "target"}


def upgrade() -> None:
    for state in ("waiting", "running", "complete", "pruned", "failed", "cancelled"):
        op.add_column("studies", sa.Column(f"confirm_{state}", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("studies", sa.Column("searched_at", sa.Double(), nullable=True))
    op.add_column("studies", sa.Column("ended_because", sa.Text(), nullable=True))
    op.add_column("trials", sa.Column("confirms", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("seed", sa.BigInteger(), nullable=True))
    op.create_index(
        "trials_confirming",
        "trials",
        ["study_id", "number"],
        postgresql_where=CONFIRMING,
        sqlite_where=CONFIRMING,
    )
    op.execute("UPDATE studies SET searched_at = ended_at WHERE state IN ('complete', 'stopped')")
    op.execute("UPDATE studies SET ended_because = 'stopped' WHERE state = 'stopped'")
    op.execute("UPDATE studies SET ended_because = 'failures' WHERE state = 'paused' AND reason LIKE 'its first %'")
    studies = sa.table("studies", sa.column("state"), sa.column("reason"), sa.column("ended_because"))
    for words, reason in REASONS.items():
        named = (studies.c.state == "complete") & studies.c.reason.like(words)
        op.execute(studies.update().where(named).values(ended_because=reason))
