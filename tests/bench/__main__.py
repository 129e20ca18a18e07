"""`make bench`: our server and its peers on one database, one after the other, in one run; then the local cloud."""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from runbooks.local.signals import StopRequested, stop_requests
from runtime.errors import HoldfastError
from tests.bench.answers import DifferentAnswersError
from tests.bench.client import LoadError
from tests.bench.measures import SMOKE, Size, measure


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--smoke", action="store_true", help="see that everything runs; the figures mean nothing")
    asked = parser.parse_args()

    def tell(words: str) -> None:
        print(words, file=sys.stderr, flush=True)  # noqa: T201  # a command's words

    try:
        with stop_requests(), tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
            results = measure(Path(folder), SMOKE if asked.smoke else Size(), tell)
    except StopRequested:
        return 130
    except (LoadError, DifferentAnswersError, HoldfastError) as error:
        tell(f"bench: {error}")
        return 1
    if not asked.json:
        results.table()
        return 0
    for note in results.notes:
        tell(note)
    with contextlib.suppress(BrokenPipeError):
        print(results.document())  # noqa: T201  # a command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
