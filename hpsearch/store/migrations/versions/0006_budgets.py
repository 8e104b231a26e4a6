"""Budgets of compute and of trials without improvement, kept in the study's row; a limit of trials at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SPENT = """
UPDATE studies SET
  compute_seconds = COALESCE((
    SELECT SUM(finished_at - started_at) FROM trials
    WHERE study_id = studies.id AND finished_at > started_at), 0),
  claimed_from = COALESCE((
    SELECT SUM(trials.started_at - studies.created_at) FROM trials
    WHERE study_id = studies.id AND state = 'running' AND trials.started_at > trials.created_at), 0)
  + COALESCE((
    SELECT SUM(trials.created_at - studies.created_at) FROM trials
    WHERE study_id = studies.id AND state = 'running' AND NOT trials.started_at > trials.created_at), 0)
"""


def upgrade() -> None:
    op.add_column("studies", sa.Column("max_parallel", sa.BigInteger(), nullable=True))
    op.add_column("studies", sa.Column("budget_compute", sa.Double(), nullable=True))
    for name in ("compute_seconds", "confirm_seconds", "claimed_from"):
        op.add_column("studies", sa.Column(name, sa.Double(), server_default="0", nullable=False))
    op.add_column("studies", sa.Column("improved_at", sa.BigInteger(), server_default="0", nullable=False))
    op.execute(SPENT)
