"""What a run found, as a table for people and as one JSON object for programs."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

# What the measurements are to reach on two cores: the ratio to the peer, or where there is none, the figure itself.
AT_LEAST = {
    "list_vs_postgrest": 1.4,
    "list_vs_plain": 6.0,
    "point_vs_postgrest": 1.4,
    "point_vs_plain": 2.5,
    "ingest_vs_copy": 0.5,
    "cached_vs_noop": 0.5,
}
AT_MOST = {
    "rss_mb": 150.0,
    "list_row_cost": 1.0,
    "sandbox_boot_s": 2.0,
    "pitr_vs_raw_tools": 2.0,
    "failover_s": 1.0,
}


@dataclass(frozen=True)
class Result:
    """Ours beside a peer's; a record has no peer."""

    ours: float
    peer: float | None
    unit: str
    meaning: str

    @property
    def ratio(self) -> float | None:
        return None if self.peer is None else self.ours / self.peer


@dataclass
class Results:
    """By name, with what a reader has to know about them."""

    found: dict[str, Result] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def document(self) -> str:
        """The JSON object."""
        return json.dumps(
            {
                name: {
                    "ours": round(result.ours, 3),
                    "peer": None if result.peer is None else round(result.peer, 3),
                    "ratio": None if result.ratio is None else round(result.ratio, 3),
                    "unit": result.unit,
                }
                for name, result in self.found.items()
            }
        )

    def table(self) -> None:
        """The table on standard output."""
        table = Table()
        for heading in ("", "what", "unit"):
            table.add_column(heading, overflow="fold")
        for heading in ("ours", "peer", "ratio", "wanted"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, result in self.found.items():
            ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
            table.add_row(
                name,
                result.meaning,
                result.unit,
                _figure(result.ours),
                _figure(result.peer),
                ratio,
                _wanted(name, result),
            )
        console = Console(markup=False, highlight=False, width=None if Console().is_terminal else 140)
        console.print(table)
        for note in self.notes:
            console.print(note)


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _wanted(name: str, result: Result) -> str:
    if name in AT_LEAST:
        return f"≥ {AT_LEAST[name]:g}" + ("" if (result.ratio or 0) >= AT_LEAST[name] else ": MISSED")
    if name in AT_MOST:
        value = result.ours if result.ratio is None else result.ratio
        return f"≤ {AT_MOST[name]:g}" + ("" if 0 < value <= AT_MOST[name] else ": MISSED")
    return ""


def medians(sides: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """The median of each side over rounds in which the sides take turns: a slow moment of the machine hits all."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            taken[name].append(measure())
    return {name: statistics.median(values) for name, values in taken.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
