"""The README's way from an empty project to a serving API names what the program really has."""

import re
from importlib.metadata import entry_points

import pytest

from infra.config import StackConfig
from tests.contract.plans import ROOT, planned

README = (ROOT / "README.md").read_text(encoding="utf-8")
DEPLOY = README[README.index("## Deploy it") : README.index("## Watch it")]


def absent(text: str) -> list[str]:
    """What a text names and the program has not."""
    plan = planned("prod", resolve=True)
    secrets = {one.inputs["secretId"] for one in plan.of_type("gcp:secretmanager/secret:Secret")}
    users = {one.inputs["name"] for one in plan.of_type("gcp:sql/user:User")}
    commands = {one.name for one in entry_points(group="holdfast.commands")} | {"keys"}
    return [
        *_unknown(r"--secret=([\w-]+)", text, secrets),
        *_unknown(r"postgresql://(\w+):", text, users),
        *_unknown(r"stack output --stack \w+ (\w+)", text, set(plan.outputs())),
        *_unknown(r"the output `(\w+)`", text, set(plan.outputs())),
        *_unknown(r"\bholdfast ([a-z]+)\b", text, commands),
        *(path for path in re.findall(r"(?:--path|--config)\s+([\w.]+)", text) if not _is_setting(path)),
    ]


def _unknown(pattern: str, text: str, known: set[str]) -> list[str]:
    return [name for name in re.findall(pattern, text) if name not in known]


def _is_setting(path: str) -> bool:
    section, _, name = path.partition(".")
    field = StackConfig.model_fields.get(section)
    return field is not None and name in getattr(field.annotation, "model_fields", {"": None})


def test_everything_that_it_names_is_there() -> None:
    assert absent(DEPLOY) == []
    assert DEPLOY.count("--secret=") >= 2
    assert DEPLOY.count("--path") >= 2


@pytest.mark.parametrize(
    ("right", "wrong", "name"),
    [
        ("holdfast-secret-key", "holdfast-signing-key", "holdfast-signing-key"),
        ("holdfast_operator", "holdfast_admin", "holdfast_admin"),
        ("stack output --stack dev api", "stack output --stack dev url", "url"),
        ("service.image", "service.picture", "service.picture"),
        ("holdfast connect", "holdfast tunnel", "tunnel"),
    ],
)
def test_what_is_not_there_is_noticed(right: str, wrong: str, name: str) -> None:
    assert name in absent(DEPLOY.replace(right, wrong))
