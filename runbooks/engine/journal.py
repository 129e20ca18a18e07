"""The journal of runs: dbos on SQLite. Each step's result is written down, and a run that was cut off goes on after it.

dbos takes up whatever is pending when it is launched, and whatever waits in its queue while it runs. So each run is an
executor and an application version of its own: nobody's launch touches another's run. Listing launches nothing.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID, WorkflowStatus
from dbos._error import DBOSException, DBOSInitializationError
from dbos._serialization import Serializer
from sqlalchemy.exc import SQLAlchemyError

from runbooks.engine.errors import RunbookError
from runbooks.engine.locks import is_worked_on, run_lock
from runbooks.local.folder import StateFolder
from runtime.errors import first_line

Document = dict[str, Any]
# Does one step, or gives what it gave when it was done before.
Checkpoint = Callable[[str, Callable[[], Document]], Document]
Work = Callable[[Checkpoint], Document]

APPLICATION = "holdfast"
QUEUE = "resumed"
QUEUE_SECONDS = 0.1
ENDED = "SUCCESS"
# dbos's words for a run that no launch takes up again.
TERMINAL = (ENDED, "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

_work: dict[str, Work] = {}


class Json(Serializer):
    """JSON, so that a journal is read without running what is in it."""

    def serialize(self, data: Any) -> str:
        """To JSON."""
        return json.dumps(data, default=str)

    def deserialize(self, serialized_data: str) -> Any:
        """From JSON."""
        return json.loads(serialized_data)

    def name(self) -> str:
        """What dbos writes beside it."""
        return "json"


@dataclass(frozen=True)
class Entry:
    """A run as the journal has it.

    Attributes:
        id: its name.
        document: what it was begun with.
        outcome: what it ended with; None when it has not ended.
        runs: whether a process works on it now.
        steps: what each step that ended gave, in order.
    """

    id: str
    document: Document
    outcome: Document | None
    runs: bool
    steps: tuple[Document, ...]


@DBOS.workflow(name="procedure")
def _procedure(run_id: str, _document: Document) -> Document:
    def checkpoint(name: str, do: Callable[[], Document]) -> Document:
        return DBOS.run_step({"name": name}, do)

    return _work[run_id](checkpoint)


class Journal:
    """The journal in a folder, which is made when the first run begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._file = self.folder / "runs.sqlite"

    @property
    def _url(self) -> str:
        return f"sqlite:///{self._file}"

    def make(self) -> None:
        """Make its folder, or see that it can be written.

        Raises:
            LocalPlatformError: it cannot.
            RunbookError: the journal cannot.
        """
        StateFolder(self.folder).make()
        try:
            self._file.touch(mode=0o600)
            self._file.open("ab").close()
        except OSError as error:
            message = f"the journal {self._file} cannot be written: {error.strerror}; choose another with --state"
            raise RunbookError(message) from None

    @contextmanager
    def alone(self, run_id: str) -> Iterator[None]:
        """Work on a run, which nobody else does then.

        Raises:
            RefusedError: another process works on it.
        """
        with run_lock(self.folder, run_id):
            yield

    def begin(self, run_id: str, document: Document, work: Work) -> Document:
        """Run from the first step, within `alone`.

        Returns:
            What the work gave.

        Raises:
            RunbookError: the journal cannot be written. What was done after that is not in it.
        """
        with self._explained(), self._launched(run_id, work), SetWorkflowID(run_id):
            return _procedure(run_id, document)

    def resume(self, run_id: str, work: Work, *, done: int) -> Document:
        """Go on with a run, within `alone`.

        Args:
            run_id: one that is there.
            work: its steps.
            done: how many of the steps are not to be done again, if the run has ended.

        Returns:
            What the work gave.

        Raises:
            RunbookError: the journal cannot be written. What was done after that is not in it.
        """
        with self._explained():
            with self._client() as client:
                if client.retrieve_workflow(run_id).get_status().status in TERMINAL:
                    client.rewind_workflow(run_id, start_step=done + 1, application_version=run_id, queue_name=QUEUE)
                else:
                    client.resume_workflow(run_id, queue_name=QUEUE)
            with self._launched(run_id, work):
                outcome: Document = DBOS.retrieve_workflow(run_id).get_result(polling_interval_sec=QUEUE_SECONDS)
                return outcome

    def get(self, run_id: str) -> Entry:
        """One run.

        Raises:
            RunbookError: there is none of that name, or the journal cannot be read.
        """
        found = self._entries([run_id])
        if not found:
            message = f"no run {run_id} in {self._file}; holdfast runbook history lists them"
            raise RunbookError(message)
        return found[0]

    def entries(self) -> list[Entry]:
        """All runs, newest first.

        Raises:
            RunbookError: the journal cannot be read.
        """
        return self._entries(None)

    def _entries(self, run_ids: list[str] | None) -> list[Entry]:
        # An empty one is of a run that was cut off before its first line.
        if not self._file.exists() or not self._file.stat().st_size:
            return []
        with self._explained(), self._client() as client:
            return [self._entry(client, found) for found in client.list_workflows(workflow_ids=run_ids, sort_desc=True)]

    def _entry(self, client: DBOSClient, found: WorkflowStatus) -> Entry:
        steps = client.list_workflow_steps(found.workflow_id)
        try:
            document = found.input["args"][1] if found.input else {}
            document["procedure"], document["target"]["instance"], document["started_at"]
        except (KeyError, IndexError, TypeError):
            message = f"the journal {self._file}: run {found.workflow_id} is in the form of another version"
            raise RunbookError(message) from None
        outcome = found.output if found.status == ENDED else None
        return Entry(
            id=found.workflow_id,
            document=document,
            outcome=outcome,
            runs=outcome is None and is_worked_on(self.folder, found.workflow_id),
            steps=tuple(step["output"] for step in steps if step["output"]),
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, DBOSException, OSError) as error:
            message = (
                f"the journal {self._file}: {first_line(error)}; mend that (is the disk full, or the file another's?), "
                "then look: holdfast runbook history"
            )
            raise RunbookError(message) from None

    @contextmanager
    def _client(self) -> Iterator[DBOSClient]:
        _be_quiet()
        client = DBOSClient(system_database_url=self._url, serializer=Json())
        try:
            try:
                client._sys_db.verify_migrations()  # noqa: SLF001  # dbos has no public name for it
            except DBOSInitializationError:
                # An older dbos wrote it. This changes its form, and runs nothing of it.
                DBOS.migrate(self._url)
            yield client
        finally:
            client.destroy()

    @contextmanager
    def _launched(self, run_id: str, work: Work) -> Iterator[None]:
        _be_quiet()
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._url,
            "executor_id": run_id,
            "application_version": run_id,
            "serializer": Json(),
            "log_level": "CRITICAL",
            "enable_otlp": False,
            # What stopping waits for.
            "notification_listener_polling_interval_sec": 0.05,
        }
        _work[run_id] = work
        DBOS(config=config)
        try:
            DBOS.launch()
            DBOS.register_queue(QUEUE, polling_interval_sec=QUEUE_SECONDS)
            yield
        finally:
            DBOS.destroy()
            del _work[run_id]


def _be_quiet() -> None:
    # It warns of what is meant here: that versions differ, and that a run exists already. Where it finds a handler,
    # it does not make one of its own, which would hold on to the standard error of now.
    logger = logging.getLogger("dbos")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
