"""what inspection and probe found, beside the answers

A version never imports the app.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("assessments", "milestones"):
        op.add_column(table, sa.Column("measurements", sa.Text(), server_default="{}", nullable=False))


def downgrade() -> None:
    for table in ("milestones", "assessments"):
        op.drop_column(table, "measurements")
