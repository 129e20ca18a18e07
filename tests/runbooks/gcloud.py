"""A gcloud for tests: it takes what `gcloud compute ssh` takes, and its SOCKS proxy leads to this machine's addresses.

It refuses what gcloud 528 and OpenSSH refuse, as of `gcloud compute ssh --help` and ssh(1): any flag that they have not
here. Of SOCKS it has what OpenSSH's `-D` has (RFC 1928, CONNECT without a login, to IPv4), and what OpenSSH does: it
says that it connects before it does.
"""

import argparse
import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import NoReturn

# Beside it: what it is to do, what it was asked, and where connections went, one a line.
BEHAVIOUR = "behaviour.json"
CALL = "call.json"
WENT = "went.txt"
CHUNK = 65536
NO_LOGIN = b"\x05\x00"
REQUEST = struct.Struct("!BBBB4sH")
CONNECT = (5, 1, 0, 1)
GRANTED = b"\x05\x00\x00\x01" + bytes(6)


def main() -> None:
    folder = Path(__file__).parent
    behaviour = json.loads((folder / BEHAVIOUR).read_text())
    ours, _, of_ssh = " ".join(sys.argv[1:]).partition(" -- ")
    parser = argparse.ArgumentParser(prog="gcloud", allow_abbrev=False)
    for word in ("compute", "ssh"):
        parser.add_argument(f"word_{word}", choices=[word])
    parser.add_argument("instance")
    parser.add_argument("--tunnel-through-iap", action="store_true", required=True)
    parser.add_argument("--zone")
    parser.add_argument("--project")
    parser.add_argument("--quiet", action="store_true")
    ssh = argparse.ArgumentParser(prog="ssh", allow_abbrev=False)
    ssh.add_argument("-N", dest="no_command", action="store_true", required=True)
    ssh.add_argument("-D", dest="dynamic", required=True)
    ssh.add_argument("-o", dest="options", action="append")
    given = {**vars(parser.parse_args(ours.split())), **vars(ssh.parse_args(of_ssh.split()))}
    (folder / CALL).write_text(json.dumps({**given, "pid": os.getpid()}))
    if "fails" in behaviour:
        print(f"ERROR: (gcloud.compute.ssh) {behaviour['fails']}", file=sys.stderr)  # noqa: T201
        sys.exit(3)
    host, _, port = given["dynamic"].partition(":")
    serve(host, int(port), folder / WENT, deaf=behaviour.get("deaf", False))


def serve(host: str, port: int, went: Path, *, deaf: bool) -> NoReturn:
    """Lead each connection to where it asks; never listen when it is deaf."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if deaf:
            threading.Event().wait()
        listener.listen()
        while True:
            near, _ = listener.accept()
            threading.Thread(target=lead, args=(near, went), daemon=True).start()


def lead(near: socket.socket, went: Path) -> None:
    """One connection, from its greeting to its end."""
    with near:
        methods = exactly(near, 2)
        if not methods or 0 not in exactly(near, methods[1]):
            return
        near.sendall(NO_LOGIN)
        *asked, address, port = REQUEST.unpack(exactly(near, REQUEST.size))
        if tuple(asked) != CONNECT:
            return
        near.sendall(GRANTED)
        place = (socket.inet_ntoa(address), port)
        with went.open("a") as file:
            file.write(f"{place[0]}:{port}\n")
        try:
            far = socket.create_connection(place)
        except OSError:
            return
        with far:
            threading.Thread(target=copy, args=(near, far), daemon=True).start()
            copy(far, near)


def exactly(source: socket.socket, number: int) -> bytes:
    """So many bytes; none when it ends before."""
    return source.recv(number, socket.MSG_WAITALL)


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
