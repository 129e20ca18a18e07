"""A mark each minute by which a recovery is bracketed, and what became of each verification of a backup."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recovery_markers",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuid7()"), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_markers")),
    )
    op.create_index("idx_recovery_markers_written_at", "recovery_markers", ["written_at"], unique=False)
    op.create_table(
        "backup_verifications",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuid7()"), nullable=False),
        sa.Column("instance", sa.String(length=255), nullable=False),
        sa.Column("backup_run_id", sa.BigInteger(), nullable=True),
        sa.Column("backup_ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("codes", postgresql.ARRAY(sa.String(length=50)), nullable=False),
        sa.Column("measures", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("verified_by", sa.String(length=255), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('passed', 'failed', 'incomplete')", name=op.f("ck_backup_verifications_verdict")
        ),
        # What failed has a name.
        sa.CheckConstraint(
            "verdict <> 'failed' OR cardinality(codes) > 0", name=op.f("ck_backup_verifications_failed_by_code")
        ),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_backup_verifications_times")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_verifications")),
    )
    op.create_index("idx_backup_verifications_instance", "backup_verifications", ["instance", "ended_at"], unique=False)


def downgrade() -> None:
    op.drop_table("backup_verifications")
    op.drop_table("recovery_markers")
