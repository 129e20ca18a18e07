"""Users of the demonstration: keys that are made for it and end with it."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from runbooks.demo.errors import DemoError
from runtime.db.engine import make_engine
from runtime.errors import first_line
from runtime.platform.keys import IssuedKey, create_key, revoke_key
from runtime.platform.scopes import Scope
from runtime.settings import ApiSettings

SCOPES = (Scope.UTXOIQ_READ, Scope.UTXOIQ_WRITE)
# Should this process be killed, its keys end by themselves.
LIFE = dt.timedelta(minutes=15)


@contextmanager
def users(settings: ApiSettings, *, run: str, count: int) -> Iterator[list[IssuedKey]]:
    """A key for each of several new users; all are revoked at the end.

    Raises:
        DemoError: the database refuses.
    """
    engine = make_engine(settings, application_name="holdfast-demo", duty="jobs")
    secret, expires_at = settings.secret_key.get_secret_value(), dt.datetime.now(dt.UTC) + LIFE
    try:
        with engine.begin() as connection:
            issued = [
                create_key(
                    connection, secret=secret, subject=f"{run}-user-{number}", scopes=SCOPES, expires_at=expires_at
                )
                for number in range(1, count + 1)
            ]
        try:
            yield issued
        finally:
            with engine.begin() as connection:
                for key in issued:
                    revoke_key(connection, key=key.prefix)
    except DBAPIError as error:
        message = f"the database refuses keys: {first_line(error.orig or error)}"
        raise DemoError(message) from None
    finally:
        engine.dispose()
