"""IAM authentication: who gets in by Google's access token, and how the front then logs in to the cluster.

In a cluster an IAM user is an ordinary role whose password only the sandbox knows: it is derived from the sandbox's
secret and the user's name, so it is the same in every copy of the data. The front checks the token and then logs in
with that password by SCRAM. So no rule of pg_hba.conf trusts anybody, and nothing has to change in a cluster when a
token does.
"""

import base64
import hmac
from typing import Protocol


class Logins(Protocol):
    """What a front asks about an instance's IAM users. It asks in its own thread, so the answers are quick."""

    def password_of(self, user: str) -> str | None:
        """The cluster's password of an IAM user; None for everybody else, whom the cluster itself authenticates."""

    def accepts(self, user: str, token: str) -> bool:
        """Whether this is a valid access token of this user."""


def derived_password(secret: bytes, user: str) -> str:
    """The password of an IAM user's role in all clusters of a sandbox.

    Args:
        secret: The sandbox's own, of 32 random bytes.
        user: The database user.
    """
    return base64.urlsafe_b64encode(hmac.digest(secret, user.encode(), "sha256")).decode()
