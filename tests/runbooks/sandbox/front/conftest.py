"""Fronts of instances that end with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbooks.sandbox.front.certificates import Certificates
from runbooks.sandbox.front.front import Front
from runbooks.sandbox.front.thread import LoopThread
from tests.runbooks.sandbox.front.fronts import DNS_NAME, PORT, Instance, address_of_its_own


@pytest.fixture(scope="session")
def thread() -> Iterator[LoopThread]:
    with LoopThread() as started:
        yield started


@pytest.fixture
def make_instance(thread: LoopThread, tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Makes instances that end with the test, which leaves no connection open."""
    made: list[Front] = []

    def make(target: int | None = None, **options: object) -> Instance:
        address = address_of_its_own()
        folder = tmp_path / address
        certificates = Certificates(folder, project="project", instance="holdfast", address=address, dns_name=DNS_NAME)
        certificates.create()
        front = Front(address, PORT, certificates, thread=thread, **options)
        front.start()
        made.append(front)
        front.point_at(target)
        ca = folder / "for-clients.pem"
        ca.write_text(certificates.server_ca)
        return Instance(front, certificates, ca)

    yield make
    for front in made:
        front.stop()
        assert front.connections == 0
