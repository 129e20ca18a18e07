"""Tests, and what they start, find no cloud and talk to this machine only."""

import os
import subprocess
import sys

import google.auth
import httpx
import pytest
from google.auth.exceptions import DefaultCredentialsError
from pytest_socket import SocketConnectBlockedError

FIND_CREDENTIALS = """
import google.auth
try:
    google.auth.default()
except google.auth.exceptions.DefaultCredentialsError:
    print("none")
"""


def test_no_credentials_are_found_here() -> None:
    with pytest.raises(DefaultCredentialsError):
        google.auth.default()


def test_nor_by_a_program_that_a_test_starts() -> None:
    found = subprocess.run([sys.executable, "-c", FIND_CREDENTIALS], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "none"


def test_the_metadata_server_is_an_address_where_nobody_listens() -> None:
    assert os.environ["GCE_METADATA_HOST"] == "127.0.0.1:1"
    assert os.environ["NO_GCE_CHECK"] == "true"


def test_a_connection_to_another_machine_is_refused_before_it_leaves() -> None:
    # An address for documentation (RFC 5737): nobody's.
    with pytest.raises(SocketConnectBlockedError), pytest.warns(UserWarning, match="192.0.2.1"):
        httpx.get("http://192.0.2.1/", timeout=1)
