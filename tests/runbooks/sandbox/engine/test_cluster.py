"""A cluster: a real PostgreSQL on a folder, made, stopped, killed and started again."""

import ctypes
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest

from runbooks.local import shared_memory
from runbooks.sandbox.engine import programs
from runbooks.sandbox.engine.cluster import Cluster
from runbooks.sandbox.engine.errors import EngineError, InvalidFlagsError
from runbooks.sandbox.sql import roles
from tests.runbooks.sandbox.engine.clusters import PASSWORD, VERSIONS, Clusters, add, facts


def test_both_versions_run_side_by_side_and_keep_what_was_written(clusters: Clusters) -> None:
    with ThreadPoolExecutor() as threads:
        old, new = threads.map(lambda version: clusters.running(f"v{version}", version=version), VERSIONS)
    for cluster, version in ((old, 16), (new, 18)):
        assert cluster.version == version
        assert cluster.execute("SHOW server_version_num")[0][0].startswith(str(version))
        assert cluster.execute("SHOW data_checksums") == [("on",)]
        assert cluster.execute("SELECT lower('É'), current_user") == [("é", cluster.superuser)]
        assert stat.S_IMODE((cluster.folder / "passfile").stat().st_mode) == 0o600
        add(cluster, version)

    old.stop()
    assert not old.is_running
    with pytest.raises(EngineError, match="refused"):
        old.execute("SELECT 1")
    new.kill()
    assert not new.is_running
    assert "was interrupted" not in new.log.read_text()
    for cluster in (old, new):
        cluster.start()
        assert facts(cluster) == [cluster.version]
    # The one was stopped, the other had to recover.
    assert "was not properly shut down" not in old.log.read_text()
    assert "was not properly shut down" in new.log.read_text()


def test_one_that_was_killed_leaves_no_memory_in_the_kernel(clusters: Clusters) -> None:
    # There is room for a few thousand of these segments, and then no server starts on the machine.
    cluster = clusters.running("killed")
    key, ident = map(int, (cluster.data / "postmaster.pid").read_text().splitlines()[shared_memory.LINE].split())
    shmget = ctypes.CDLL(None).shmget
    assert shmget(key, ctypes.c_size_t(0), 0) == ident
    cluster.kill()
    assert shmget(key, ctypes.c_size_t(0), 0) == -1
    cluster.start()
    cluster.execute("SELECT 1")


def test_a_server_that_was_left_behind_is_known_by_its_folder(clusters: Clusters) -> None:
    cluster = clusters.running("orphan")
    add(cluster, 1)
    # As after a SIGKILL of the sandbox: another process, the same folder, another port.
    successor = clusters.new("orphan")
    assert successor.is_running
    successor.start()
    assert facts(successor) == [1]
    with successor.connect():
        # Another object yet, which knows the server by its folder only.
        clusters.new("orphan").kill()
        assert _working_in(cluster.data) == []
    assert not cluster.is_running
    assert not successor.is_running


def test_flags_are_applied_by_a_restart_and_bad_ones_change_nothing(clusters: Clusters) -> None:
    cluster = clusters.running("flags")
    add(cluster, 1)
    started = cluster.execute("SELECT pg_postmaster_start_time()")
    for refused, said in (
        ({"work_mem": "a lot"}, "work_mem"),
        ({"no_such_flag": "1"}, "no_such_flag"),
        ({"port": "1"}, "port"),
        ({"archive_command": "true"}, "archive_command"),
        ({"synchronous_standby_names": "x"}, "synchronous_standby_names"),
    ):
        with pytest.raises(InvalidFlagsError, match=said):
            cluster.restart(refused)
        assert cluster.execute("SELECT pg_postmaster_start_time()") == started, "restarted for a refused flag"

    # Only a start shows that there is not that much memory.
    with pytest.raises(InvalidFlagsError, match="memory"):
        cluster.restart({"shared_buffers": "7TB"})
    assert cluster.execute("SHOW shared_buffers") == [("16MB",)]

    cluster.restart({"work_mem": "5MB", "cloudsql.iam_authentication": "on", "fsync": "off"})
    assert cluster.execute("SHOW work_mem") == [("5MB",)]
    assert cluster.execute("SHOW cloudsql.iam_authentication") == [("on",)]
    cluster.restart()
    assert cluster.execute("SHOW work_mem") == [("5MB",)]
    cluster.restart({})
    assert cluster.execute("SHOW work_mem") == [("4MB",)]
    assert cluster.execute("SHOW fsync") == [("on",)], "the default must survive a machine that fails"
    assert facts(cluster) == [1]


def test_a_refusal_is_a_sentence_without_the_password(clusters: Clusters, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="has no cluster"):
        clusters.new("nothing").start()
    with pytest.raises(EngineError, match="line break"):
        Cluster(tmp_path / "a\nb", programs=programs.programs_of(18), port=1, password=PASSWORD)
    with pytest.raises(EngineError, match="16 and 18, not 15"):
        programs.programs_of(15)
    cluster = clusters.running("words")
    with pytest.raises(EngineError, match="has a cluster already"):
        cluster.create()
    with pytest.raises(EngineError, match='relation "nowhere" does not exist'):
        cluster.execute("SELECT * FROM nowhere")
    other = Cluster(cluster.folder, programs=cluster.programs, port=cluster.port, password="another")
    with pytest.raises(EngineError, match="authentication failed") as refused:
        other.execute("SELECT 1")
    assert "another" not in str(refused.value)


def test_no_secret_is_on_a_command_line_and_the_parents_permissions_stay(clusters: Clusters, tmp_path: Path) -> None:
    mode = tmp_path.stat().st_mode
    cluster = clusters.running("secret")
    command = Path(f"/proc/{cluster.execute('SELECT pg_backend_pid()')[0][0]}").parent
    lines = [path.read_bytes() for path in command.glob("[0-9]*/cmdline") if _readable(path)]
    assert any(str(cluster.data).encode() in line for line in lines)
    assert not any(PASSWORD.encode() in line for line in lines)
    assert tmp_path.stat().st_mode == mode
    made = {path.name for path in cluster.folder.iterdir()}
    assert made == {"archive", "data", "extensions", "log", "passfile"}


def test_the_customer_who_is_no_superuser_makes_and_uses_extensions(clusters: Clusters) -> None:
    cluster = clusters.running("extensions")
    roles.prepare(cluster, PASSWORD)
    connection = psycopg2.connect(
        host="127.0.0.1", port=cluster.port, user="postgres", password=PASSWORD, dbname="postgres"
    )
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION amcheck; CREATE EXTENSION pg_stat_statements")
        cursor.execute("CREATE TABLE checked (id int PRIMARY KEY)")
        cursor.execute("SELECT bt_index_check('checked_pkey'), (SELECT count(*) FROM verify_heapam('checked'))")
        assert cursor.fetchone() == ("", 0)
        cursor.execute("SELECT count(*) > 0 FROM pg_stat_statements")
        assert cursor.fetchone() == (True,)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'nothing'")
    connection.close()


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def _working_in(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder:
                found.append(link.parent.name)
        except OSError:
            continue
    return found
