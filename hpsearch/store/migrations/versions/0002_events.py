"""Events: every change of a trial's or a study's state, by revision. A column each for what Optuna's storage interface
knows beyond ours. Leases' ends leave the index, so that a report is a change within the row on PostgreSQL."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RUNNING = sa.text("state = 'running'")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column(
            "study_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("happened_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study_id", "revision"),
    )
    op.add_column("studies", sa.Column("optuna", sa.Text(), nullable=True))
    op.add_column("trials", sa.Column("optuna", sa.Text(), nullable=True))
    op.drop_index("trials_by_lease_end", table_name="trials")
    op.create_index("trials_running", "trials", ["study_id", "number"], postgresql_where=RUNNING, sqlite_where=RUNNING)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE trials SET (fillfactor = 80)")
