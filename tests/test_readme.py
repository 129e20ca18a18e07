"""The README's own words, executed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runbooks.local.ports import free_port
from tests.runbooks.local_cli import Console

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_prints_what_it_says(tmp_path: Path) -> None:
    (example,) = blocks("python")
    said = re.findall(r"print\(.*\)  # (.*)", example)
    console = Console(tmp_path)
    up = console.run("up", "--detach", "--json", "--port", str(free_port()))
    assert up.returncode == 0, up.stderr
    try:
        (line,) = up.stdout.splitlines()
        addresses = json.loads(line)
        environment = {**os.environ, "API": addresses["api"], "KEY": addresses["key"]}
        ran = subprocess.run(
            [sys.executable, "-c", example], env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.splitlines() == said
    finally:
        console.run("down")


def test_the_line_that_up_prints_has_the_fields_that_are_shown() -> None:
    (shown,) = [
        line.removeprefix("# ") for block in blocks("sh") for line in block.splitlines() if line.startswith("# {")
    ]
    assert list(json.loads(shown)) == ["api", "docs", "key", "database", "cache"]


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`?holdfast ([a-z]+)", README)) - {"plan"}))
def test_each_command_that_is_named_exists(command: str, tmp_path: Path) -> None:
    holdfast = Path(sys.executable).with_name("holdfast")
    helped = subprocess.run([holdfast, command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert helped.returncode == 0, helped.stderr
