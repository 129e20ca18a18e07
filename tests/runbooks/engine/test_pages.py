"""The procedures' pages and what the README says of them."""

import re
import shlex
from pathlib import Path

import pytest

from runbooks import procedures
from runbooks.connect.way import way_into
from runbooks.console.commands import app
from runbooks.console.pages import README, ROOT, page_files, record, rehearsals
from runbooks.engine.errors import RunbookError
from runbooks.reference.files import refuse_stale
from tests.runbooks.engine import toys

NIGHT = re.search(r"## Three in the morning\n\n```sh\n(.*?)```", (ROOT / README).read_text(), re.DOTALL)


def test_the_pages_are_what_the_procedures_say() -> None:
    refuse_stale(page_files())


def test_a_page_says_what_is_asked_done_and_touched_and_how_long_it_took(tmp_path: Path) -> None:
    (tmp_path / "runbooks" / "procedures").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        page_files((toys.THREE,), tmp_path)
    (tmp_path / README).write_text("no place")
    with pytest.raises(RunbookError, match="has no lines"):
        page_files((toys.THREE,), tmp_path)
    (tmp_path / README).write_text((ROOT / README).read_text())
    first = procedures.PROCEDURES[0]
    record({first.name: 2.04, "gone": 1.0}, tmp_path)
    assert rehearsals(tmp_path) == {first.name: 2.04}
    files = page_files((first, toys.THREE), tmp_path)
    assert f"| [{first.name}](procedures/{first.name}.md) |" in files[README]
    assert "| 2.0 s |" in files[README]
    told = files[Path("runbooks/procedures/toy-three.md")]
    assert "| `world` | the folder that the steps change |" in told
    assert "- Nobody forbids it" in told
    assert "| 2 | Use what was made | `backupRuns.insert` | BROKEN_IN_THE_KNOWN_WAY: Take back what the second" in told


@pytest.mark.parametrize("line", NIGHT[1].splitlines() if NIGHT else [])
def test_the_commands_of_the_night_can_be_typed(line: str) -> None:
    program, group, command, *rest = shlex.split(line, comments=True)
    if group == "connect":
        assert way_into(command, ROOT).machine
        return
    assert (program, group) == ("holdfast", "runbook")
    assert command in {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
    if command == "run":
        fields = dict(field.split("=", 1) for field in rest[1:] if "=" in field)
        procedures.find(rest[0]).inputs.model_validate(fields)
