"""`holdfast demo`, for real; and what it says of a platform that gives back something else."""

import contextlib
import json
import math
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from dotenv import dotenv_values
from sqlalchemy import make_url

from runbooks.demo.bayesian import GaussianProcess, next_point
from runbooks.demo.branin import MINIMA, MINIMUM, branin, from_unit
from runbooks.demo.client import ApiClient
from runbooks.demo.comparison import Claim, Verdict, is_same, rows
from runbooks.demo.display import show
from runbooks.demo.errors import DemoError
from runbooks.local import database
from runbooks.local.ports import free_port
from runbooks.local.processes import is_alive
from runbooks.local.stop import stop
from tests.runbooks.local_cli import Console, refusal
from tests.waiting import wait_until

# A reading that is stored a thousandth too high.
TAMPER = """
CREATE FUNCTION tamper() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.metric_value := NEW.metric_value * 1.001 + 0.001; RETURN NEW; END $$;
CREATE TRIGGER tamper BEFORE INSERT ON system_metrics FOR EACH ROW WHEN (NEW.metric_type = 'load')
EXECUTE FUNCTION tamper();
"""
PARTS = ["machine", "backfill", "campaign", "feedback"]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    stop(made.folder)
    assert not made.processes()


def claims_of(verdict: dict[str, Any]) -> dict[str, Any]:
    assert list(dict.fromkeys(claim["part"] for claim in verdict["claims"])) == PARTS
    return {claim["claim"]: claim["given_back"] for claim in verdict["claims"]}


def as_owner(console: Console, statement: str) -> None:
    owner = dotenv_values(console.folder.env, interpolate=False)["MIGRATION_DATABASE_URL"]
    with database.connect(make_url(str(owner))) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def workers_of(pid: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if "runbooks.demo.worker" in child.cmdline():
                found.append(child)
    return found


def test_all_comes_back_from_a_platform_that_is_started_for_it(console: Console) -> None:
    done = console.run("demo", "--json", "--seconds", "0.5")
    assert done.returncode == 0, done
    verdict = json.loads(done.stdout)
    assert verdict["same"] is True
    assert all(claim["same"] for claim in verdict["claims"])
    claims = claims_of(verdict)
    assert claims["the job"] == {"status": "completed", "block": 840_000, "percent": 100.0, "attempts": 2}
    assert claims["a report with the killed worker's token"] == "foreign-token"
    assert claims["first block after the last reported one"] == 210_001
    assert claims["header times, 2009 to 2024"] == {"rows": 9, "identical": 9}
    assert claims["experiments with parameters and result"] == {"rows": 45, "identical": 45}
    assert claims["what each user said"] == {"rows": 5, "identical": 5}
    assert claims["rows ingested"] >= 5 * 8

    assert console.run("status").returncode == 1, "it stops what it started"
    assert not console.processes()
    credentials = json.loads(console.folder.credentials.read_text())
    assert not [
        value for value in credentials.values() if isinstance(value, str) and value in done.stdout + done.stderr
    ]


def test_a_tampered_reading_is_found_out_and_marked(console: Console) -> None:
    up = json.loads(console.run("up", "--detach", "--json", "--port", str(free_port())).stdout)
    as_owner(console, TAMPER)
    done = console.run("demo", "--seconds", "0.5", environment={"COLUMNS": "240"})
    assert done.returncode == 1, done
    marked = [line for line in done.stdout.splitlines() if "│ NO " in line]
    assert ["rows read back" in marked[0], "load, processes" in marked[1], len(marked)] == [True, True, 2]
    assert "2 of 26 differ" in done.stdout.splitlines()[-1]

    # The platform was there before, and goes on; the users' keys have ended, and the platform's own has not.
    keys = json.loads(console.run("keys", "list", "--json").stdout)
    assert sorted(key["revoked_at"] is not None for key in keys) == [False, *[True] * 5]

    as_owner(console, "DROP TRIGGER tamper ON system_metrics")
    given = {"HOLDFAST_API": up["api"], "HOLDFAST_API_KEY": up["key"]}
    done = console.run("demo", "--json", "--seconds", "0.5", environment=given)
    assert done.returncode == 0, done
    verdict = json.loads(done.stdout)
    assert verdict["api"] == up["api"]
    assert claims_of(verdict)["users at once: 1"] == 1
    assert "only that key's user gives feedback" in verdict["notes"][-1]
    assert console.run("status").returncode == 0


def test_stopped_in_the_middle_it_leaves_nothing_running(console: Console) -> None:
    with console.start("demo", "--seconds", "0.5") as demo:
        workers = wait_until(lambda: workers_of(demo.pid))
        environments = [worker.environ() for worker in workers]
        demo.send_signal(signal.SIGTERM)
        output, errors = demo.communicate(timeout=30)
    assert (demo.returncode, output) == (1, "")
    assert errors.splitlines()[-1] == "holdfast: stopped before the end"
    assert not [worker for worker in workers if is_alive(worker)]
    assert not console.processes()
    assert all(found["HOLDFAST_API_KEY"].startswith("hf_") for found in environments)


def test_what_cannot_begin_is_refused_in_one_line(console: Console) -> None:
    assert "belong together" in refusal(console.run("demo", "--api", "http://127.0.0.1:1"))
    url = f"http://127.0.0.1:{free_port()}"
    line = refusal(console.run("demo", environment={"HOLDFAST_API": url, "HOLDFAST_API_KEY": "hf_secret"}))
    assert line.startswith(f"holdfast: the API at {url} does not answer")
    assert "hf_secret" not in line
    assert not console.folder.path.exists()


@pytest.mark.parametrize(
    "url", ["http://203.0.113.9:8000", "https://holdfast.example", "http://127.0.0.1.example", "file:///tmp", "", "//["]
)
def test_it_writes_to_this_machine_only(url: str) -> None:
    with pytest.raises(DemoError, match="stays on this machine"):
        ApiClient(url, "hf_secret")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://127.9.9.9", "http://[::1]:8000", "http://localhost"])
def test_every_loopback_address_is_this_machine(url: str) -> None:
    ApiClient(url, "hf_secret")


@pytest.mark.parametrize("minimum", MINIMA)
def test_branin_is_least_at_its_three_minima(minimum: tuple[float, float]) -> None:
    x1, x2 = minimum
    assert math.isclose(branin(x1, x2), MINIMUM, abs_tol=1e-6)
    around = [(x1 + 0.01, x2), (x1 - 0.01, x2), (x1, x2 + 0.01), (x1, x2 - 0.01)]
    assert all(branin(*point) > branin(x1, x2) for point in around)


def test_branin_is_nowhere_less() -> None:
    grid = [from_unit(i / 200, j / 200) for i in range(201) for j in range(201)]
    assert grid[0] == (-5, 0)
    assert grid[-1] == (10, 15)
    assert min(branin(*point) for point in grid) > MINIMUM - 1e-6


def test_the_process_knows_what_it_saw_and_that_it_saw_no_more() -> None:
    points, values = [(0.1, 0.1), (0.1, 0.1), (0.2, 0.3)], [10.0, 10.4, 20.0]
    process = GaussianProcess(points, values, noise_std=0.2)
    mean, std = process.predict((0.1, 0.1))
    assert math.isclose(mean, 10.2, abs_tol=0.1)
    assert std < 0.2
    assert process.predict((0.9, 0.9))[1] > 4


def test_the_search_finds_a_minimum_in_few_steps() -> None:
    chance = random.Random(7)  # noqa: S311  # a search, no secret
    points = [(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)]
    values = [branin(*from_unit(*point)) for point in points]
    for _ in range(25):
        points.append(next_point(points, values, noise_std=0.1, chance=chance))
        values.append(branin(*from_unit(*points[-1])))
    assert min(values) < 1.0


@pytest.mark.parametrize(
    ("put_in", "given_back", "same"),
    [
        (0.1 + 0.2, 0.3, True),
        (0.3, 0.3000001, False),
        (0.0, 0.0, True),
        (0.0, 1e-15, False),
        (0.0, None, False),
        (1, 1.0, False),
        (1, True, False),
        ("", None, False),
        ({"count": 1, "avg": 0.1 + 0.2}, {"count": 1, "avg": 0.3}, True),
        ({"count": 1}, {"count": 1, "avg": 0.3}, False),
        (math.nan, math.nan, False),
    ],
)
def test_same_means_equal_but_for_rounding(*, put_in: Any, given_back: Any, same: bool) -> None:
    assert is_same(put_in, given_back) is same


def test_rows_lost_doubled_or_changed_are_each_found() -> None:
    put_in = [("a", 0.0), ("b", 1.0)]
    assert rows("", "", put_in, reversed(put_in)).same
    for given_back in (put_in[:1], [*put_in, put_in[0]], [("a", 0.0), ("b", 1.5)]):
        assert not rows("", "", put_in, given_back).same


def test_the_table_marks_what_differs_to_the_last_digit(capsys: pytest.CaptureFixture[str]) -> None:
    claims = [Claim("machine", "first", 1.5, 1.5), Claim("machine", "[b]second", 0.30000000001, 0.3)]
    verdict = Verdict("demo-1", "http://127.0.0.1:1", 1.0, claims, ["A note."])
    show(verdict, as_json=False)
    shown = capsys.readouterr().out
    (marked,) = [line for line in shown.splitlines() if "NO" in line]
    assert "[b]second" in marked
    assert "0.30000000001" in marked
    assert "1 of 2 differ" in shown
    assert verdict.document()["same"] is False


def test_nothing_compared_is_nothing_shown() -> None:
    assert not Verdict("demo-1", "http://127.0.0.1:1", 1.0, [], []).same
