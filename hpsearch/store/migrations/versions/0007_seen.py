"""What a sampler had seen of its study when it suggested a trial, and how many it was asked for at once."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trials", sa.Column("seen", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("together", sa.BigInteger(), nullable=True))
