"""The house itself: rooms, locks, commands and what CI runs."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("infra", "runtime", "migrations", "runbooks", "policies", "tests")
LOCKS = ("runtime", "checkout")
SCREEN = 64


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_in_a_screen_what_goes_there(room: str) -> None:
    lines = (ROOT / room / "README.md").read_text().splitlines()
    assert lines[0].startswith(f"# {room}: ")
    assert "| goes here | does not |" in lines
    assert len(lines) <= SCREEN


def test_there_are_no_other_rooms() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {name.split("/")[0] for name in tracked if "/" in name and not name.startswith(".")}
    assert folders <= set(ROOMS)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_and_hashes_everything_and_names_no_address(lock: str) -> None:
    text = (ROOT / f"{lock}-lock.txt").read_text()
    assert "://" not in text
    requirements = [part for part in re.split(r"\n(?=[a-z])", text) if part.strip()]
    assert len(requirements) > 40
    for requirement in requirements:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", requirement), requirement.splitlines()[0]
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


@pytest.mark.parametrize(
    ("project", "lock"),
    [("pyproject.toml", "runtime"), ("pyproject.toml", "checkout"), ("runbooks/pyproject.toml", "checkout")],
)
def test_what_a_project_needs_is_in_its_lock(project: str, lock: str) -> None:
    described = tomllib.loads((ROOT / project).read_text())["project"]
    wanted = [*described["dependencies"], *described.get("optional-dependencies", {}).get("dev", [])]
    names = {re.split(r"[\[=<>;]", requirement)[0] for requirement in wanted} - {"holdfast"}
    locked = set(re.findall(r"^([\w.-]+?)(?:\[[\w,]+\])?==", (ROOT / f"{lock}-lock.txt").read_text(), re.MULTILINE))
    assert names <= locked


def test_the_operators_protobuf_does_not_hold_the_runtimes_back() -> None:
    major = {
        lock: int(re.search(r"^protobuf==(\d+)", (ROOT / f"{lock}-lock.txt").read_text(), re.MULTILINE)[1])  # type: ignore[index]
        for lock in LOCKS
    }
    assert major["checkout"] < major["runtime"]


def test_ci_runs_the_readmes_test_command() -> None:
    assert "make test " in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("\nexec make test")
    assert "bash .ci/run" in (ROOT / ".github" / "workflows" / "test.yml").read_text()


def test_make_alone_says_what_there_is() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("install", "up", "test", "demo", "lint", "format"):
        assert re.search(rf"^  make {target} +\w", shown, re.MULTILINE), target


def test_every_test_that_the_readme_names_is_there() -> None:
    named = re.findall(r"\]\((tests/[^)]+\.py)\)", (ROOT / "README.md").read_text())
    assert len(named) >= 10
    for path in named:
        assert (ROOT / path).exists(), path
