"""Ranks at a step are counted within the index alone."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("reports_by_step", "reports")
    op.create_index("reports_by_step", "reports", ["study_id", "step", "value", "number"])
