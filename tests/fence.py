"""What tests and the programs that they start see of this shell, and a network in which nothing else can be reached."""

import os
import subprocess
from collections.abc import Mapping
from functools import cache

from runbooks.sandbox.fence import fenced
from runtime.settings import ApiSettings

CLOUDS = ("AWS_", "CLOUDSDK_", "GCE_", "GCLOUD_", "GOOGLE_", "PG")
SETTINGS = {name.upper() for name in ApiSettings.model_fields}


def inside(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without settings, credentials and projects, and with the fence."""
    kept = {name: value for name, value in environment.items() if name not in SETTINGS and not name.startswith(CLOUDS)}
    return {**fenced(kept), "CLOUDSDK_CONFIG": os.devnull}


@cache
def network_of_its_own() -> tuple[str, ...]:
    """What a command begins with so that its network is a loopback that is down, and nothing else.

    Nothing where the machine refuses that: user namespaces are off, or this is not Linux.
    """
    command = ("unshare", "--user", "--map-root-user", "--net")
    try:
        done = subprocess.run([*command, "true"], capture_output=True, timeout=10, check=False)
    except OSError:
        return ()
    return () if done.returncode else command
