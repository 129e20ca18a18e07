"""A subject belongs to one issuer; the API makes the principal of a verified token, and nothing else."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Other tables store the subject alone as the user: two issuers must never share one.
ONE_ISSUER = """
-- squawk-ignore disallowed-unique-constraint, constraint-missing-not-valid
ALTER TABLE principals ADD CONSTRAINT uq_principals_subject UNIQUE (subject)
"""

# The caller needs no right to write principals, and cannot make one of this platform's own.
ENSURE_PRINCIPAL = """
CREATE FUNCTION ensure_principal(wanted_issuer text, wanted_subject text)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF wanted_issuer NOT LIKE 'http%://_%' THEN
        RAISE EXCEPTION 'the issuer is not a URL' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Of several at once, one inserts; the others wait for it, and read its row.
    INSERT INTO principals (issuer, subject) VALUES (wanted_issuer, wanted_subject) ON CONFLICT DO NOTHING;
    -- Null when the subject is another issuer's.
    RETURN (SELECT id FROM principals WHERE issuer = wanted_issuer AND subject = wanted_subject);
END
$$
"""


def upgrade() -> None:
    # A table of few rows: those whom an operator gave a key.
    op.execute(ONE_ISSUER)
    op.execute(ENSURE_PRINCIPAL)


def downgrade() -> None:
    op.execute("DROP FUNCTION ensure_principal(text, text)")
    op.drop_constraint("uq_principals_subject", "principals", type_="unique")
