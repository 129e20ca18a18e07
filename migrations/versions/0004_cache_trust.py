"""Until when the cache is not to be believed: one row."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cache_trust",
        sa.Column("id", sa.Integer(), server_default=sa.text("1"), autoincrement=False, nullable=False),
        sa.Column("distrusted_until", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_cache_trust_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cache_trust")),
    )
    op.execute("INSERT INTO cache_trust DEFAULT VALUES")


def downgrade() -> None:
    op.drop_table("cache_trust")
