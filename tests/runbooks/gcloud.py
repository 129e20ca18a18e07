"""A gcloud for tests: it takes what `gcloud compute start-iap-tunnel` takes, and its tunnel leads to an address here.

It refuses what gcloud 528 refuses, as of `gcloud compute start-iap-tunnel --help`: any other flag, or no port.
"""

import argparse
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import NoReturn

# Beside it: what it is to do, and what it was asked.
BEHAVIOUR = "behaviour.json"
CALL = "call.json"
CHUNK = 65536


def main() -> None:
    folder = Path(__file__).parent
    behaviour = json.loads((folder / BEHAVIOUR).read_text())
    parser = argparse.ArgumentParser(prog="gcloud", allow_abbrev=False)
    for word in ("compute", "start-iap-tunnel"):
        parser.add_argument(f"word_{word}", choices=[word])
    parser.add_argument("instance_name")
    parser.add_argument("instance_port", type=int)
    parser.add_argument("--local-host-port", default="localhost:0")
    parser.add_argument("--zone")
    parser.add_argument("--project")
    parser.add_argument("--iap-tunnel-disable-connection-check", action="store_true")
    given = parser.parse_args()
    (folder / CALL).write_text(json.dumps({**vars(given), "pid": os.getpid()}))
    if "fails" in behaviour:
        print(f"ERROR: (gcloud.compute.start-iap-tunnel) {behaviour['fails']}", file=sys.stderr)  # noqa: T201
        sys.exit(3)
    host, _, port = given.local_host_port.partition(":")
    serve(host, int(port), behaviour["leads_to"], deaf=behaviour.get("deaf", False))


def serve(host: str, port: int, leads_to: int, *, deaf: bool) -> NoReturn:
    """Forward each connection; never listen when it is deaf."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if deaf:
            threading.Event().wait()
        listener.listen()
        print(f"Listening on port [{port}].", file=sys.stderr, flush=True)  # noqa: T201
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", leads_to))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=copy, args=(source, sink), daemon=True).start()


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Until one of them is closed."""
    try:
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


if __name__ == "__main__":
    main()
