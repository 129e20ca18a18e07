"""Lists in pages."""

from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.store import Document

MOST = 1000


def page(items: list[Document], call: Call) -> tuple[list[Document], Document]:
    """The page that a call asks for by `maxResults` (or `pageSize`) and `pageToken`.

    Returns:
        Its items, and the next page's token where there is one.
    """
    start = call.number("pageToken", 0)
    size = call.number("maxResults", call.number("pageSize", MOST)) or MOST
    end = start + size
    return items[start:end], {"nextPageToken": str(end)} if end < len(items) else {}
