"""Writes small Pulumi programs for tests."""

from inspect import cleandoc
from pathlib import Path

from runbooks.plan.project import Project

HEAD = "import pulumi\nimport pulumi_gcp as gcp\n"


def write(folder: Path, program: str, stack: str = "{}", config: str = "{}") -> Project:
    """A project of one file, with a stack named dev."""
    folder.mkdir(exist_ok=True)
    (folder / "Pulumi.yaml").write_text(f"name: holdfast\nruntime: python\nconfig: {config}\n", encoding="utf-8")
    (folder / "Pulumi.dev.yaml").write_text(f"config: {stack}\n", encoding="utf-8")
    (folder / "__main__.py").write_text(HEAD + cleandoc(program), encoding="utf-8")
    return Project(folder)
