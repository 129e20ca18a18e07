"""Bitcoin blocks whose header timestamps are public knowledge: heights and Unix seconds.

Source: the block headers themselves, as `bitcoin-cli getblockheader` prints their `time`. They are the first block, the
halvings (210000, 420000, 630000, 840000), the activations of SegWit (481824) and Taproot (709632), and two round ones.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

HEADER_TIMES: Mapping[int, int] = {
    0: 1_231_006_505,
    210_000: 1_354_116_278,
    420_000: 1_468_082_773,
    481_824: 1_503_539_862,
    630_000: 1_589_225_023,
    670_000: 1_612_962_571,
    709_632: 1_636_866_944,
    800_000: 1_690_168_629,
    840_000: 1_713_571_767,
}
FIRST, LAST = min(HEADER_TIMES), max(HEADER_TIMES)


def header_time(height: int) -> datetime:
    """When a known block says that it was made."""
    return datetime.fromtimestamp(HEADER_TIMES[height], UTC)
