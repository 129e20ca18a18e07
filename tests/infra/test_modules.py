"""The room itself."""

import sys
from pathlib import Path

import infra


def test_no_module_hides_one_of_pythons() -> None:
    # Pulumi runs the folder as a program, and so puts it first on the path.
    names = {path.stem for path in Path(infra.__file__).parent.iterdir()} - {"__init__", "__main__", "__pycache__"}
    assert not names & sys.stdlib_module_names
