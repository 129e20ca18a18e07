"""How Google's clients find their service and who they are."""

from typing import Any

from google.api_core.client_options import ClientOptions

from runtime.cloudsql.client import credentials_for


def options(endpoint: str | None) -> dict[str, Any]:
    """The arguments of a client of Google's that speaks REST.

    Args:
        endpoint: the service's address, if it is not Google's. One on this machine gets a token without worth.
    """
    chosen = ClientOptions(api_endpoint=endpoint) if endpoint else None
    return {"transport": "rest", "client_options": chosen, "credentials": credentials_for(endpoint)}
