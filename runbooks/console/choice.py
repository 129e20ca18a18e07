"""Which environment a command is about."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from runbooks.engine import target
from runbooks.engine.errors import RunbookError
from runbooks.engine.target import Target

PULUMI_SECONDS = 120
OUTPUT = "target"
# Written by `holdfast rehearse --serve` while it runs.
SANDBOX = Path(".holdfast-sandbox") / "target.json"


@dataclass(frozen=True)
class Choice:
    """What was said on the command line: one of them."""

    stack: str | None = None
    file: Path | None = None
    sandbox: bool = False


def chosen(choice: Choice) -> Target:
    """The target that was chosen.

    Raises:
        RunbookError: none was, or more than one, or it cannot be had.
    """
    said = [choice.stack is not None, choice.file is not None, choice.sandbox]
    if sum(said) != 1:
        message = "say which environment: one of --stack NAME, --target FILE or --sandbox"
        raise RunbookError(message)
    if choice.file is not None:
        return target.load(choice.file)
    return of_stack(choice.stack) if choice.stack is not None else of_sandbox()


def of_stack(stack: str) -> Target:
    """The target among a Pulumi stack's outputs.

    Raises:
        RunbookError: Pulumi is not there, or has no such stack or output.
    """
    program = shutil.which("pulumi")
    if program is None:
        message = "--stack needs the program pulumi; or write its output `target` into a file and give --target"
        raise RunbookError(message)
    asked = [program, "stack", "output", OUTPUT, "--json", "--stack", stack, "--non-interactive"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=PULUMI_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        message = f"pulumi does not answer within {PULUMI_SECONDS} s"
        raise RunbookError(message) from None
    if answer.returncode:
        message = f"pulumi stack output {OUTPUT} --stack {stack}: {' '.join(answer.stderr.split())}"
        raise RunbookError(message)
    return target.parse(answer.stdout, f"the output {OUTPUT} of stack {stack}")


def of_sandbox() -> Target:
    """The target of the environment that `holdfast rehearse --serve` keeps on this machine.

    Raises:
        RunbookError: there is none.
    """
    if not SANDBOX.exists():
        message = "--sandbox needs an environment on this machine; start one: holdfast rehearse --serve"
        raise RunbookError(message)
    return target.load(SANDBOX)
