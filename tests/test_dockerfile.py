"""The image's recipe. Nothing builds it here: what it copies and runs is looked at and done by hand."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SECRETS = ("SECRET", "PASSWORD", "TOKEN", "KEY", "URL")

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    """Each with its arguments, on one line."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def copied(instructions: list[Instruction]) -> list[str]:
    """What comes from the checkout."""
    words = [shlex.split(rest) for name, rest in instructions if name == "COPY" and not rest.startswith("--from")]
    return [source for sources in words for source in sources[:-1]]


def last_stage(instructions: list[Instruction]) -> list[Instruction]:
    """What the image itself is made by."""
    begins = max(place for place, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[begins:]


def test_it_is_sent_what_it_copies_and_nothing_more(instructions: list[Instruction]) -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == set(copied(instructions))
    assert all((ROOT / source).exists() for source in kept)


def test_everything_that_it_installs_is_held_to_its_digest(instructions: list[Instruction]) -> None:
    installs = re.findall(r"pip [^&]*install [^&]*", " && ".join(rest for name, rest in instructions if name == "RUN"))
    for command in installs:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index" in command
    assert any("-r runtime-lock.txt" in command for command in installs)


def test_what_builds_the_wheel_is_whole(instructions: list[Instruction]) -> None:
    (command,) = [rest for name, rest in instructions if name == "RUN" and rest.startswith("awk")]
    (program,) = re.findall("awk '([^']*)'", command)
    lock = subprocess.run(["awk", program, ROOT / "checkout-lock.txt"], capture_output=True, text=True, check=True)
    names = set(re.findall("^([a-z-]+)==", lock.stdout, re.MULTILINE))
    assert names == {"hatchling", *needed("hatchling")}
    assert lock.stdout.count("--hash=sha256:") >= len(names)


def needed(package: str) -> set[str]:
    """What a package needs on the image's Python."""
    wanted = map(Requirement, requires(package) or ())
    return {one.name for one in wanted if one.marker is None or one.marker.evaluate({"python_version": "3.13"})}


def test_the_wheel_can_be_built_of_what_is_copied(instructions: list[Instruction], tmp_path: Path) -> None:
    for source in copied(instructions):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "wheels"]
    assert f"python {' '.join(build[1:])}" in " ".join(rest for _, rest in instructions)
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    assert len(list((tmp_path / "wheels").glob("holdfast-*.whl"))) == 1


def test_it_serves_as_nobody_in_particular(instructions: list[Instruction]) -> None:
    stage = dict(last_stage(instructions))
    assert json.loads(stage["ENTRYPOINT"]) == ["python", "-m", "runtime"]
    assert json.loads(stage["CMD"]) == ["serve"]
    assert int(stage["USER"].partition(":")[0]) >= 10_000


def test_it_holds_no_secret(instructions: list[Instruction]) -> None:
    told = [rest for name, rest in instructions if name in ("ENV", "ARG")]
    assert not [word for rest in told for word in SECRETS if word in rest.upper()]
