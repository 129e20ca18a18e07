"""Small pieces of Markdown."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table without the columns that are empty in every row."""
    listed = [list(row) for row in rows]
    kept = [place for place in range(len(head)) if any(row[place] for row in listed)]
    lines = [[head[place] for place in kept], ["---"] * len(kept)]
    lines += [[row[place].replace("|", r"\|") for place in kept] for row in listed]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: object) -> str:
    """As it is written."""
    return f"`{value}`"


def block(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text}\n```"


def anchor(heading: str) -> str:
    """Where a heading is, as GitHub derives it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(text: str, heading: str) -> str:
    """A link to a heading of the same page."""
    return f"[{text}](#{anchor(heading)})"


def sentence(text: str) -> str:
    """The text with a full stop at its end."""
    return text if not text or text.endswith((".", ":")) else f"{text}."
