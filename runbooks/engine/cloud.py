"""How Google's clients find their service and who they are."""

from typing import Any

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from runtime.cloudsql.client import credentials_for
from runtime.errors import first_line

# What those clients raise: refused, without credentials, or not reached.
ERRORS = (GoogleAPIError, GoogleAuthError, RequestException)


def options(endpoint: str | None) -> dict[str, Any]:
    """The arguments of a client of Google's that speaks REST.

    Args:
        endpoint: the service's address, if it is not Google's. One on this machine gets a token without worth.
    """
    chosen = ClientOptions(api_endpoint=endpoint) if endpoint else None
    return {"transport": "rest", "client_options": chosen, "credentials": credentials_for(endpoint)}


def why(error: Exception) -> str:
    """Why a call failed, without the request, which may hold a secret."""
    return str(error.message) if isinstance(error, GoogleAPICallError) else first_line(error)
