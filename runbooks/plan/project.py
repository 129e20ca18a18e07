"""A project and its stacks as Pulumi reads them: Pulumi.yaml, and one Pulumi.<stack>.yaml each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra import stack_files
from infra.errors import ConfigError
from runbooks.plan.errors import PlanError


@dataclass(frozen=True)
class Settings:
    """A stack's settings, as the program is given them.

    Attributes:
        values: by full name (project:key), each as text; objects are JSON.
        secrets: the names whose values Pulumi.yaml calls secret.
    """

    values: dict[str, str]
    secrets: list[str]


class Project:
    """A folder with a Pulumi.yaml.

    Args:
        folder: where it is.

    Raises:
        PlanError: there is none, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._document = _read(folder / stack_files.PROJECT_FILE)
        self.name = str(self._document.get("name", ""))

    @property
    def program(self) -> Path:
        """The file that Pulumi would run."""
        main = self.folder / str(self._document.get("main", "."))
        return main / "__main__.py" if main.is_dir() else main

    def settings(self, stack: str, changes: Mapping[str, str] | None = None) -> Settings:
        """What the program finds in its configuration: the stack's file over the project's defaults.

        Args:
            stack: whose file.
            changes: settings by path, over both.

        Raises:
            PlanError: there is no such stack, or a file cannot be read.
        """
        try:
            values = stack_files.with_changes(stack_files.read(stack, self.folder), changes or {}, self.name)
        except ConfigError as error:
            raise PlanError(str(error)) from None
        declared: dict[str, Any] = self._document.get("config") or {}
        secrets = [self._full(name) for name, one in declared.items() if isinstance(one, dict) and one.get("secret")]
        return Settings({name: _text(value) for name, value in values.items()}, secrets)

    def _full(self, name: str) -> str:
        return name if ":" in name else f"{self.name}:{name}"


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise PlanError(message) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path}: {' '.join(str(error).split())}"
        raise PlanError(message) from None
    if not isinstance(document, dict):
        message = f"{path}: it is not a mapping"
        raise PlanError(message)
    return document


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
