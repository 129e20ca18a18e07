"""Which failures of the database are worth another try, and how often."""

import asyncio

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

# PostgreSQL rolled the transaction back and says so: running it again is always right.
ROLLED_BACK = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
# The connection went away; whether a commit under way took effect is unknown.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InterfaceError,
    # What the driver says of a connection whose server has said farewell and not hung up yet; nothing was sent.
    asyncpg.InternalClientError,
    ConnectionError,
)
ATTEMPTS = 4


def may_repeat(error: BaseException) -> bool:
    """Whether another try may succeed, of what may happen twice."""
    # The driver's word for a value that it cannot send is an InterfaceError too.
    return isinstance(error, (*ROLLED_BACK, *LOST)) and not isinstance(error, ValueError) and not _is_over()


def retrying(*, idempotent: bool) -> AsyncRetrying:
    """A few tries with growing, random pauses; after a lost connection only of what may happen twice."""
    return AsyncRetrying(
        retry=retry_if_exception(may_repeat if idempotent else _was_rolled_back),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.05, max=1),
        reraise=True,
    )


def _was_rolled_back(error: BaseException) -> bool:
    return isinstance(error, ROLLED_BACK) and not _is_over()


def _is_over() -> bool:
    # At the caller's deadline the driver may end the connection, and tell of that in place of the cancellation.
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
