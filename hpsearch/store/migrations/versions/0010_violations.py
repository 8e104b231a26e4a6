"""Reports know whether their trial violates a constraint, so that pruners need not compute it of every other's."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reports", sa.Column("violates", sa.Boolean()))
    op.drop_index("reports_by_step", "reports")
    op.create_index("reports_by_step", "reports", ["study_id", "step", "value", "number", "violates"])
