"""`holdfast` loads what is asked for, and its help lists everything."""

import json
import subprocess
import sys

import pytest

ASK = """
import json, sys
from runtime.__main__ import console
sys.argv = ["holdfast", *sys.argv[1:]]
try:
    console()
except SystemExit:
    print(json.dumps(sorted(sys.modules)))
"""


def asked(*arguments: str) -> tuple[str, set[str]]:
    """What a command says, and the modules that it loaded."""
    done = subprocess.run([sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=True)
    *said, modules = done.stdout.splitlines()
    return "\n".join(said), set(json.loads(modules))


@pytest.mark.parametrize("command", ["sandbox", "up", "runbook", "rehearse", "plan", "keys", "migrate"])
def test_one_command_loads_neither_the_others_nor_what_they_need(command: str) -> None:
    said, modules = asked(command, "--help")
    assert f"holdfast {command}" in said
    assert ("dbos" in modules) == (command in {"runbook", "rehearse"})
    assert ("alembic" in modules) == (command in {"up", "runbook", "rehearse", "keys", "migrate"})
    assert ("pulumi" in modules) <= (command == "plan")


def test_help_lists_every_command() -> None:
    said, _ = asked("--help")
    listed = {line.split()[1] for line in said.splitlines() if line.startswith("│ ") and not line.startswith("│  ")}
    assert {"serve", "keys", "up", "sandbox", "runbook", "rehearse", "plan", "reference", "demo"} <= listed
