"""Why a pruner judged a trial, in figures; trials that pause at a rung, and how many of them a study has."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PAUSED = sa.text("state = 'paused'")


def upgrade() -> None:
    op.add_column("studies", sa.Column("paused", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("trials", sa.Column("pruning", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("trials", sa.Column("rung", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("rung_value", sa.Double(), nullable=True))
    op.create_index(
        "trials_paused",
        "trials",
        ["study_id", "rung", "rung_value"],
        postgresql_where=PAUSED,
        sqlite_where=PAUSED,
    )
