"""The service-account file that points obstore at the façade."""

import json
from pathlib import Path

from runbooks.local.files import write_private


def service_account(base_url: str) -> str:
    """The file's content: an address, and no key. Given it, obstore looks for no other credentials anywhere."""
    account = {
        "gcs_base_url": base_url.rstrip("/"),
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    return json.dumps(account)


def write_service_account(path: Path, base_url: str) -> None:
    """Write the file for an address such as http://127.0.0.1:4443."""
    write_private(path, service_account(base_url))
