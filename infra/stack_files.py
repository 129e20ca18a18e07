"""Pulumi's files: the project's defaults and a stack's facts, as `pulumi up` would see them."""

import re
from collections.abc import Hashable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from infra.config import PROJECT
from infra.errors import ConfigError
from infra.names import unknown

ROOT = Path(__file__).parent.parent
PROJECT_FILE = "Pulumi.yaml"
STACK_FILE = "Pulumi.{}.yaml"
# What a stack's file has beside its configuration: how its secrets are encrypted.
STACK_KEYS = ("config", "encryptedkey", "encryptionsalt", "secretsprovider", "environment")
# As YAML 1.2 has them, and as Pulumi reads them: `on` is a word, 02:00 no number, a date no object.
SCALARS = {
    "tag:yaml.org,2002:bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "tag:yaml.org,2002:int": (r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    "tag:yaml.org,2002:float": (r"^[-+]?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
    "tag:yaml.org,2002:merge": (r"^<<$", "<"),
    "tag:yaml.org,2002:null": (r"^(?:~|null|Null|NULL|)$", "~nN\0"),
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML 1.2's scalars; a key that comes twice is refused."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001  # PyYAML's
        names = [key.value for key, _ in node.value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            message = f"{twice!r} is there twice; keep one"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


for _tag, (_pattern, _first) in SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), ["" if one == "\0" else one for one in _first])


def stacks(root: Path = ROOT) -> tuple[str, ...]:
    """The stacks that have a file."""
    return tuple(sorted(path.name.split(".", 2)[1] for path in root.glob(STACK_FILE.format("*"))))


def read(stack: str, root: Path = ROOT) -> dict[str, object]:
    """The configuration of a stack: Pulumi.yaml's defaults, and over them the stack's own.

    Args:
        stack: its name, as dev.
        root: where the files are.

    Returns:
        By key with its namespace, as holdfast:region. A value of the stack replaces the default as a whole.

    Raises:
        ConfigError: there is no such stack, or a file cannot be read; says which and where.
    """
    if stack not in stacks(root):
        message = f"{unknown('stack', stack, stacks(root))} ({STACK_FILE.format('NAME')} makes one)"
        raise ConfigError(message)
    name = STACK_FILE.format(stack)
    content = _mapping(root / name)
    if wrong := next((key for key in content if key not in STACK_KEYS), None):
        message = f"{name}: {unknown('part', str(wrong), STACK_KEYS)}"
        raise ConfigError(message)
    project = _mapping(root / PROJECT_FILE)
    space = str(project.get("name", PROJECT))
    own = {_key(key, space): value for key, value in _part(content, "config", name).items()}
    if secret := next((path for key, value in own.items() for path in _secrets(key, value)), None):
        message = f"{name}: {secret} is a secret; only facts are here: put it into Secret Manager, and take it out"
        raise ConfigError(message)
    return {**_defaults(project, space), **own}


def with_changes(config: Mapping[str, object], changes: Mapping[str, str], space: str = PROJECT) -> dict[str, object]:
    """The configuration with some settings changed.

    Args:
        config: by key with its namespace, as `read` gives it.
        changes: by path, as service.image; values as a stack's file would have them.
        space: the namespace of the paths.

    Raises:
        ConfigError: a path leads through what is no section, or a value cannot be read.
    """
    changed: dict[str, object] = deepcopy(dict(config))
    for path, text in changes.items():
        first, *names = path.split(".")
        place: dict[str, object] = changed
        steps = [_key(first, space), *names]
        for step in steps[:-1]:
            below = place.setdefault(step, {})
            if not isinstance(below, dict):
                message = f"{path}: {step} is no section; write SECTION.SETTING=VALUE"
                raise ConfigError(message)
            place = below
        place[steps[-1]] = _scalar(path, text)
    return changed


def _scalar(path: str, text: str) -> object:
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # it is a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        message = f"{path}: {_place(error)}"
        raise ConfigError(message) from None


def _defaults(project: Mapping[object, object], space: str) -> dict[str, object]:
    declared = _part(project, "config", PROJECT_FILE)
    found: dict[str, object] = {}
    for key, value in declared.items():
        if not isinstance(value, Mapping):
            found[_key(key, space)] = value
        elif (given := value.get("value", value.get("default"))) is not None:
            found[_key(key, space)] = given
    return found


def _key(key: object, space: str) -> str:
    """The project's own keys may leave its name out."""
    return str(key) if ":" in str(key) else f"{space}:{key}"


def _part(content: Mapping[object, object], part: str, name: str) -> Mapping[object, object]:
    value = content.get(part) or {}
    if not isinstance(value, Mapping):
        message = f"{name}: {part} is not a mapping; write KEY: VALUE below it"
        raise ConfigError(message)
    return value


def _secrets(path: str, value: object) -> Iterator[str]:
    """Where secrets are, at any depth."""
    if isinstance(value, Mapping) and set(value) == {"secure"}:
        yield path
    elif isinstance(value, Mapping | list):
        below = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, inner in below:
            yield from _secrets(f"{path}.{name}", inner)


def _mapping(path: Path) -> Mapping[object, object]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # it is a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path.name}: cannot be read: {error}"
        raise ConfigError(message) from None
    except (yaml.YAMLError, RecursionError) as error:
        message = f"{path.name}: {_place(error)}"
        raise ConfigError(message) from None
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        message = f"{path.name}: is not a mapping; write KEY: VALUE"
        raise ConfigError(message)
    return content


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}" if mark else f"is no YAML: {what}"
