"""The write-ahead log's segments in a folder: which a recovery reads, and what the last of them holds."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runbooks.sandbox.engine.programs import run

# Small pieces: dozens of clusters fit, and an archive is up to date soon.
SEGMENT_MB = 4
SEGMENT_BYTES = SEGMENT_MB << 20
# A segment's name has its number in two halves.
SEGMENTS_A_HALF = (1 << 32) // SEGMENT_BYTES
SEGMENT_NAME = re.compile(r"[0-9A-F]{24}")
HISTORY_NAME = re.compile(r"([0-9A-F]{8})\.history")
HISTORY_LINE = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)
END_OF_TRANSACTION = re.compile(r"desc: (?:COMMIT|ABORT)\w* .*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC")


@dataclass(frozen=True)
class Timeline:
    """One branch of the log."""

    id: int
    # The position where it left its parent, in bytes.
    begin: int

    @property
    def first_segment(self) -> int:
        """The number of its first segment, which repeats what the parent wrote up to the fork."""
        return self.begin // SEGMENT_BYTES


@dataclass(frozen=True)
class Chain:
    """The segments that recovery can read one after the other."""

    segments: Sequence[Path]
    # The first that is missing or damaged although later ones are there.
    missing: str | None


def parse_position(text: str) -> int:
    """A position that PostgreSQL writes as `16/B374D848`, in bytes."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def segment_name(timeline: int, number: int) -> str:
    """A segment's file name."""
    return f"{timeline:08X}{number // SEGMENTS_A_HALF:08X}{number % SEGMENTS_A_HALF:08X}"


def segment_number(name: str) -> int:
    """A segment's place in the log, by its file name."""
    return int(name[8:16], 16) * SEGMENTS_A_HALF + int(name[16:], 16)


def segment_at(position: int) -> int:
    """The number of the segment in which the log ended when it had come to a position, in bytes."""
    return (position - 1) // SEGMENT_BYTES


def segments_in(folder: Path) -> list[Path]:
    """Every segment in a folder, whole or not, in order of timeline and place."""
    return sorted(path for path in folder.iterdir() if SEGMENT_NAME.fullmatch(path.name))


def timelines(folder: Path, origin: int) -> list[Timeline]:
    """The newest timeline that grew out of one, and those between, newest first.

    Args:
        folder: where the histories are.
        origin: the timeline's id.
    """
    newest, ends = origin, list[tuple[int, int]]()
    for path in folder.glob("*.history"):
        match = HISTORY_NAME.fullmatch(path.name)
        if match and int(match[1], 16) > newest:
            found = [(int(id_), parse_position(end)) for id_, end in HISTORY_LINE.findall(path.read_text())]
            if origin in dict(found):
                newest, ends = int(match[1], 16), found
    # A history says where each ancestor ends, which is where the next one begins.
    ids = [*(id_ for id_, _end in ends), newest]
    begins = [0, *(end for _id, end in ends)]
    return [Timeline(id_, begin) for id_, begin in zip(ids, begins, strict=True)][::-1]


def chain(folder: Path, *, origin: int, first: int) -> Chain:
    """The segments that a recovery along the newest timeline reads.

    Args:
        folder: where they are.
        origin: the timeline on which it begins.
        first: the number of the first segment.
    """
    known = timelines(folder, origin)
    there = {path.name: path for path in segments_in(folder)}
    # What an ancestor wrote after a fork is not part of the branch, unless the newer one has nothing yet.
    numbers = ([segment_number(name) for name in there if int(name[:8], 16) == timeline.id] for timeline in known)
    last = max(next(filter(None, numbers), []), default=-1)
    segments = list[Path]()
    for number in range(first, last + 1):
        names = _candidates(known, number)
        found = next((there[name] for name in names if name in there), None)
        if found is None or found.stat().st_size != SEGMENT_BYTES:
            return Chain(segments, missing=names[0])
        segments.append(found)
    return Chain(segments, missing=None)


def _candidates(known: Sequence[Timeline], number: int) -> list[str]:
    """The names of the files that may be a segment; in the one where a branch begins, the parent's serves too."""
    names = list[str]()
    for timeline in known:
        if timeline.first_segment <= number:
            names.append(segment_name(timeline.id, number))
            if timeline.first_segment < number:
                break
    return names


def last_moment(segments: Sequence[Path], programs: Path) -> dt.datetime | None:
    """When the last transaction in these segments ended; None when they hold none."""
    for segment in reversed(segments):
        # A record that goes on in the next segment ends the program with an error, after all that matters.
        arguments = ("-p", str(segment.parent), "-r", "Transaction", segment.name, segment.name)
        said = run(programs / "pg_waldump", *arguments, may_fail=True)
        moments = END_OF_TRANSACTION.findall(said)
        if moments:
            return max(dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC) for moment in moments)
    return None
