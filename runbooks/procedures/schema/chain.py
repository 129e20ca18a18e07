"""Why the installed migrations are no chain: the file, the line, and what it should say.

Alembic stops at the first thing that it does not understand. Here the files are only read.
"""

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wrong:
    """A line to correct.

    Attributes:
        place: file and line.
        found: what is wrong with it.
        change: what helps.
    """

    place: str
    found: str
    change: str


@dataclass(frozen=True)
class _Script:
    path: Path
    revision: str
    downs: tuple[str, ...]
    # Of `revision` and of `down_revision`.
    lines: tuple[int, int]

    def at(self, which: int) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{self.lines[which]}"


def wrong(folder: Path) -> list[Wrong]:
    """What is wrong with the scripts in a folder; nothing when they are one chain.

    Args:
        folder: the migrations, with `versions` in it.
    """
    scripts: list[_Script] = []
    found: list[Wrong] = []
    for path in sorted((folder / "versions").glob("*.py")):
        if path.name == "__init__.py":
            continue
        try:
            script = _read(path)
        except (SyntaxError, ValueError) as error:
            found.append(Wrong(f"versions/{path.name}:{getattr(error, 'lineno', None) or 1}", str(error), "correct it"))
            continue
        if script is not None:
            scripts.append(script)
    return found or _twice(scripts) or _unknown(scripts) or _circle(scripts) or _heads(scripts)


def _twice(scripts: list[_Script]) -> list[Wrong]:
    first: dict[str, _Script] = {}
    found = []
    for script in scripts:
        other = first.setdefault(script.revision, script)
        if other is not script:
            what = f"revision {script.revision!r} is {other.path.name}'s too"
            found.append(Wrong(script.at(0), what, "give it an id of its own, and its successor the same"))
    return found


def _unknown(scripts: list[_Script]) -> list[Wrong]:
    ids = [script.revision for script in scripts]
    found = []
    for position, script in enumerate(scripts):
        for down in script.downs:
            if down in ids:
                continue
            others = [one for one in ids if one != script.revision]
            # An id is mostly written wrong; else the file before this one is meant.
            near = difflib.get_close_matches(down, others, n=1) or ids[max(position - 1, 0) : position]
            change = f'write down_revision = "{near[0]}"' if near else "write down_revision = None"
            found.append(Wrong(script.at(1), f"down_revision {down!r} is no revision", change))
    return found


def _circle(scripts: list[_Script]) -> list[Wrong]:
    below = {script.revision: script.downs for script in scripts}
    found = []
    for script in scripts:
        seen: set[str] = set()
        left = list(script.downs)
        while left:
            one = left.pop()
            if one not in seen:
                seen.add(one)
                left += below[one]
        if script.revision in seen:
            what = f"{script.revision!r} comes after itself, by down_revision {', '.join(map(repr, script.downs))}"
            found.append(Wrong(script.at(1), what, "the first revision has down_revision = None"))
    return found


def _heads(scripts: list[_Script]) -> list[Wrong]:
    below = {down for script in scripts for down in script.downs}
    heads = [script for script in scripts if script.revision not in below]
    return [
        Wrong(
            script.at(1),
            f"{script.revision!r} and {heads[0].revision!r} are both the last, so nobody knows which is the head",
            f'write down_revision = "{heads[0].revision}"',
        )
        for script in heads[1:]
    ]


def _read(path: Path) -> _Script | None:
    values: dict[str, tuple[object, int]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), path.name).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        for target in targets:
            if isinstance(target, ast.Name) and target.id in ("revision", "down_revision") and value is not None:
                values[target.id] = (ast.literal_eval(value), node.lineno)
    if "revision" not in values:
        return None
    revision, line = values["revision"]
    down, down_line = values.get("down_revision", (None, line))
    downs = (down,) if isinstance(down, str) else tuple(down) if isinstance(down, list | tuple) else ()
    return _Script(path, str(revision), downs, (line, down_line))
