"""The name that somebody meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is none, and which is nearest, or which there are when none is near."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1)
    return f"there is no {what} {name!r}; " + (
        f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(names)}"
    )
