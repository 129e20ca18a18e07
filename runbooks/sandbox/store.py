"""What the sandbox knows, as JSON documents by kind and name in SQLite: it survives SIGKILL."""

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

Document = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, name)
)
"""
UPSERT = """
INSERT INTO document (kind, name, body) VALUES (?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body
"""


class Store:
    """Documents in the order of their creation. Any thread may call; what is put is on the disk when that returns."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        # Passwords and keys are among the documents; SQLite's other files get the mode of this one.
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(SCHEMA)

    def put(self, kind: str, name: str, document: Document) -> None:
        """Write a document, over the one of that name."""
        with self._lock:
            self._connection.execute(UPSERT, (kind, name, json.dumps(document)))

    def get(self, kind: str, name: str) -> Document | None:
        """The document of that name; a copy, so that changing it changes nothing until it is put."""
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM document WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def all(self, kind: str, prefix: str = "") -> list[Document]:
        """The documents whose name begins so, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT body FROM document WHERE kind = ? AND substr(name, 1, ?) = ? ORDER BY number",
                (kind, len(prefix), prefix),
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def delete(self, kind: str, name: str) -> None:
        """Forget the document of that name, if there is one."""
        with self._lock:
            self._connection.execute("DELETE FROM document WHERE kind = ? AND name = ?", (kind, name))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
