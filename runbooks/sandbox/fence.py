"""The environment of a process in which no client reaches a real cloud: jobs that the sandbox runs, and tests.

What Google's and Amazon's clients do without being told an address is to look a name up and to ask a metadata server.
Here no name is looked up, the metadata servers are a port where nobody listens, and so is the proxy for all that is not
on this machine. It is a fence, not a wall: a program that is given another machine's number and knows no proxy, as
libpq, gets there.
"""

from collections.abc import Mapping

# No program may listen there without root, and none does.
NOWHERE = "127.0.0.1:1"
# Clients disagree on how a network is written.
HERE = "localhost,127.0.0.1,127.0.0.0/8,::1"
FENCE: Mapping[str, str] = {
    # The C library sends no question to a name server. /etc/hosts goes on being read.
    "RES_OPTIONS": "attempts:0",
    # gRPC has a resolver of its own, and asks nothing of it when there is a proxy.
    **dict.fromkeys(("ALL_PROXY", "all_proxy", "grpc_proxy"), f"http://{NOWHERE}"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), HERE),
    **dict.fromkeys(("GCE_METADATA_HOST", "GCE_METADATA_IP"), NOWHERE),
    "NO_GCE_CHECK": "true",
    # botocore knows no ALL_PROXY.
    "AWS_EC2_METADATA_DISABLED": "true",
}


def fenced(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with the fence, and with no proxy but the fence's."""
    kept = {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
    return {**kept, **FENCE}
