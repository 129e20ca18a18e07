"""Tests, and what they start, find no cloud and talk to this machine only."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import google.auth
import httpx
import pytest
from google.auth.exceptions import DefaultCredentialsError
from pytest_socket import SocketConnectBlockedError

from runbooks.sandbox.fence import FENCE
from tests.asking import CLIENTS, JOB
from tests.fence import inside, network_of_its_own

DEADLINE = 60.0
Findings = dict[str, dict[str, Any]]


def ask_all(environment: Mapping[str, str]) -> Findings:
    """What became of asking each client, by its name."""
    command = [*network_of_its_own(), sys.executable, "-m", "tests.asking"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return {finding["client"]: finding for finding in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def as_tests_do() -> Findings:
    return ask_all(os.environ)


@pytest.fixture(scope="module")
def without_the_fence() -> Findings:
    # One try of the metadata server's three, each of three seconds.
    kept = {name: value for name, value in os.environ.items() if name not in FENCE}
    return ask_all({**kept, "GCE_METADATA_DETECT_RETRIES": "1"})


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_was_told_no_address_fails_at_once_and_sends_nothing(client: str, as_tests_do: Findings) -> None:
    finding = as_tests_do[client]
    assert finding["failure"]
    assert finding["seconds"] < 5
    # A machine that refuses such a network has one counter for all of its programs.
    assert finding["packets"] == 0 or not network_of_its_own(), finding


@pytest.mark.skipif(not network_of_its_own(), reason="this machine refuses the network in which it would be harmless")
@pytest.mark.parametrize("client", CLIENTS)
def test_without_the_fence_it_would_have(client: str, without_the_fence: Findings) -> None:
    assert without_the_fence[client]["packets"] > 0


def test_a_job_of_the_sandbox_brings_the_fence_along(without_the_fence: Findings) -> None:
    finding = without_the_fence[JOB]
    assert "db.example.com" in finding["failure"]
    assert finding["packets"] == 0 or not network_of_its_own(), finding


def test_what_this_shell_says_of_clouds_databases_and_proxies_is_not_seen() -> None:
    outside = {
        "PATH": "/bin",
        "DATABASE_URL": "postgresql://db.example.com/d",
        "PGHOST": "db.example.com",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/me/key.json",
        "CLOUDSDK_CORE_PROJECT": "mine",
        "AWS_SECRET_ACCESS_KEY": "mine",
        "https_proxy": "http://proxy.example.com",
        "HTTP_PROXY": "http://proxy.example.com",
    }
    assert inside(outside) == {"PATH": "/bin", "CLOUDSDK_CONFIG": os.devnull, **FENCE}
    assert inside(os.environ) == os.environ


def test_no_credentials_are_found_here() -> None:
    with pytest.raises(DefaultCredentialsError):
        google.auth.default()


def test_a_connection_to_another_machine_is_refused_before_it_leaves() -> None:
    # An address for documentation (RFC 5737): nobody's.
    with pytest.raises(SocketConnectBlockedError), pytest.warns(UserWarning, match="192.0.2.1"):
        httpx.get("http://192.0.2.1/", timeout=1, trust_env=False)
