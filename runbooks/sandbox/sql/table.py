"""The README's table of methods. `python -m runbooks.sandbox.sql.table` renews it."""

from pathlib import Path

from runbooks.sandbox.sql.handlers import HANDLERS
from runbooks.sandbox.sql.methods import METHODS, PARTIAL

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- methods of the Admin API: generated -->"
END = "<!-- end of the methods -->"


def coverage(name: str) -> str:
    """How much of a method the sandbox does."""
    if name not in HANDLERS:
        return "absent"
    return f"partial: {PARTIAL[name]}" if name in PARTIAL else "full"


def table() -> str:
    """The table: each method that is there in a row, and the absent in one."""
    rows = [f"| `{one.name}` | {coverage(one.name)} |" for one in METHODS if one.name in HANDLERS]
    absent = ", ".join(f"`{one.name}`" for one in METHODS if one.name not in HANDLERS)
    lines = ("| method | |", "| --- | --- |", *rows)
    return "\n".join((BEGIN, *lines, "", f"Absent, answered 501 by name: {absent}.", END))


def renewed(text: str) -> str:
    """A README with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return before + table() + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
