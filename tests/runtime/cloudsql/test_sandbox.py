"""The client on the sandbox, where the effects are real: rows are deleted, and the backup brings them back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pydantic import SecretStr

from runtime.cloudsql.client import CloudSqlAdmin, credentials_for
from runtime.cloudsql.errors import AlreadyExistsError, NotFoundOrForbiddenError
from tests.conftest import PASSWORD
from tests.running import DEADLINE, clean_environment

# As `holdfast sandbox`.
SANDBOX = "import typer; from runbooks.sandbox.commands import register; app = typer.Typer(); register(app); app()"
FAULTS = ["operations.get:503x2", "instances.insert:429x1"]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[CloudSqlAdmin]:
    """The client on a sandbox that is out of order at times."""
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    command = [sys.executable, "-c", SANDBOX, "--port", "0", "--state", str(tmp_path / "cloud"), "--json", *faults]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["sql"]
            with CloudSqlAdmin("shop", credentials=credentials_for(url), endpoint=url, patience=60) as made:
                yield made
        finally:
            process.terminate()
            process.wait(DEADLINE)


def rows(client: CloudSqlAdmin, instance: str, *statements: str) -> list[tuple[Any, ...]]:
    """What statements answer as the application's user; the last one's rows."""
    (address,) = client.instances.get(instance).ip_addresses
    with (
        closing(
            psycopg2.connect(host=address.ip_address, dbname="app", user="app", password=PASSWORD, sslmode="require")
        ) as connection,
        connection.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
        return cursor.fetchall() if cursor.description else []


def labelled(instance: dict[str, Any]) -> dict[str, Any]:
    return {**instance, "settings": {**instance["settings"], "userLabels": {"purpose": "shop"}}}


def test_a_day_of_an_instance(client: CloudSqlAdmin) -> None:
    told: list[str] = []
    made = client.instances.insert(
        "orders",
        database_version="POSTGRES_18",
        region="us-central1",
        tier="db-custom-1-3840",
        edition="ENTERPRISE",
        settings={"backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": True}},
    )
    client.wait(made, progress=lambda seen: told.append(seen.status))
    assert told[-1] == "DONE"
    with pytest.raises(AlreadyExistsError, match="instance orders"):
        client.instances.insert(
            "orders",
            database_version="POSTGRES_18",
            region="us-central1",
            tier="db-custom-1-3840",
            edition="ENTERPRISE",
        )
    with pytest.raises(NotFoundOrForbiddenError):
        client.instances.get("missing")

    client.wait(client.databases.insert("orders", "app"))
    client.wait(client.users.insert("orders", "app", password=SecretStr(PASSWORD)))
    rows(client, "orders", "CREATE TABLE sold (id int)", "INSERT INTO sold SELECT generate_series(1, 1000)")
    client.wait(client.backup_runs.insert("orders", description="before the change"))
    (backup,) = client.backup_runs.list("orders", limit=1)
    assert (backup.status, backup.description) == ("SUCCESSFUL", "before the change")

    rows(client, "orders", "DELETE FROM sold")
    # The restart holds the instance; the patch waits for its turn.
    client.instances.restart("orders")
    client.wait(client.instances.patch("orders", flags={"work_mem": "8192"}, deletion_protection=False))
    settings = client.instances.get("orders").settings
    assert [(flag.name, flag.value) for flag in settings.database_flags] == [("work_mem", "8192")]

    client.wait(client.instances.update("orders", labelled))
    (settings,) = [one.settings for one in client.instances.list()]
    assert (settings.tier, settings.model_extra["userLabels"]) == ("db-custom-1-3840", {"purpose": "shop"})

    client.wait(client.instances.restore_backup("orders", backup_run=backup.id))
    assert rows(client, "orders", "SELECT count(*), max(id) FROM sold") == [(1000, 1000)]
    client.wait(client.instances.delete("orders", final_backup=False))
    with pytest.raises(NotFoundOrForbiddenError):
        client.instances.get("orders")
