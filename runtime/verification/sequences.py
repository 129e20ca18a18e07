"""Sequences: none gives out a number that a row has."""

from runtime.verification.checks import Check, Code, judged
from runtime.verification.expectation import Expectation
from runtime.verification.reader import Reader

SEQUENCES = "Every sequence is ahead of its column"

# Those that a column owns, and those that its default draws from.
_USES = """
SELECT s.oid::regclass::text, t.oid::regclass::text, quote_ident(a.attname), seqincrement
FROM (
    SELECT objid AS sequence, refobjid AS place, refobjsubid AS part FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
    UNION SELECT refobjid, adrelid, adnum FROM pg_depend
        JOIN pg_attrdef ON classid = 'pg_attrdef'::regclass AND objid = pg_attrdef.oid
        WHERE refclassid = 'pg_class'::regclass
) AS used
JOIN pg_class AS s ON s.oid = sequence AND s.relkind = 'S'
JOIN pg_sequence ON seqrelid = s.oid
JOIN pg_class AS t ON t.oid = place AND NOT t.relispartition
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = part
WHERE t.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
ORDER BY 1, 2
"""


def sequences(reader: Reader, _: Expectation) -> Check:
    """The next number of each is beyond those in use."""
    faults = []
    uses = reader.rows(_USES)
    for sequence, table, column, increment in uses:
        farthest = "max" if increment > 0 else "min"
        [(value, is_called)] = reader.rows(f"SELECT last_value, is_called FROM {sequence}")
        used = reader.value(f"SELECT {farthest}({column}) FROM {table}")
        following = value + increment if is_called else value
        if used is not None and (following - used) * increment <= 0:
            faults.append(f"{sequence} gives {following} next, {table} has {used}")
    action = "SELECT setval(SEQUENCE, (SELECT max(COLUMN) FROM TABLE)); until then inserts fail"
    return judged(SEQUENCES, faults, Code.SEQUENCE_BEHIND, action, otherwise=f"{len(uses)} sequences")
