"""What went in, what the API gives back, and whether it is the same."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

# Two correct means of the same numbers differ by their rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Claim:
    """One thing that the platform is to give back as it got it. Both sides are JSON values."""

    part: str
    what: str
    put_in: Any
    given_back: Any

    @property
    def same(self) -> bool:
        """Whether it did."""
        return is_same(self.put_in, self.given_back)


@dataclass(frozen=True)
class Verdict:
    """All of one run."""

    run: str
    api: str
    seconds: float
    claims: list[Claim]
    notes: list[str]

    @property
    def same(self) -> bool:
        """Whether every claim holds; a run without any has shown nothing."""
        return bool(self.claims) and all(claim.same for claim in self.claims)

    def document(self) -> dict[str, Any]:
        """The verdict for programs."""
        claims = [
            {
                "part": claim.part,
                "claim": claim.what,
                "put_in": claim.put_in,
                "given_back": claim.given_back,
                "same": claim.same,
            }
            for claim in self.claims
        ]
        return {
            "run": self.run,
            "api": self.api,
            "seconds": round(self.seconds, 1),
            "same": self.same,
            "claims": claims,
            "notes": self.notes,
        }


def is_same(put_in: Any, given_back: Any) -> bool:
    """Whether two JSON values are equal, but for the rounding of what was computed twice."""
    if isinstance(put_in, dict) and isinstance(given_back, dict):
        return put_in.keys() == given_back.keys() and all(is_same(put_in[name], given_back[name]) for name in put_in)
    if isinstance(put_in, float) and isinstance(given_back, float):
        return math.isclose(put_in, given_back, rel_tol=ROUNDING)
    return type(put_in) is type(given_back) and bool(put_in == given_back)


def rows(part: str, what: str, put_in: Iterable[Hashable], given_back: Iterable[Hashable]) -> Claim:
    """The claim that exactly these rows come back, each as often as it went in, in whatever order."""
    wanted, found = Counter(put_in), Counter(given_back)
    return Claim(
        part,
        what,
        {"rows": wanted.total(), "identical": wanted.total()},
        {"rows": found.total(), "identical": (wanted & found).total()},
    )
