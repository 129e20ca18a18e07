"""Secret Manager away: a step fails by a code that is known, and soon."""

import pytest
from pydantic import SecretStr

from runbooks.engine.errors import FailedError
from runbooks.engine.permissions import Permissions
from runbooks.engine.secrets import Secrets

SECRET = "projects/p/secrets/s"


def test_where_nobody_listens_it_is_a_failure_with_a_code_and_without_the_text() -> None:
    permissions = Permissions()
    permissions.allow("a test", ["secretmanager.versions.add"])
    secrets = Secrets("http://127.0.0.1:1", permissions)
    with pytest.raises(FailedError, match=r"projects/p/secrets/s.*secretAccessor") as unread:
        secrets.newest(SECRET)
    assert unread.value.code == "SECRET_UNREADABLE"
    with pytest.raises(FailedError) as unwritten:
        secrets.add(SECRET, SecretStr("p@ss w%rd"))
    assert unwritten.value.code == "SECRET_UNWRITTEN"
    assert "p@ss" not in str(unwritten.value)
    secrets.close()
