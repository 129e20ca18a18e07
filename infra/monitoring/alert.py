"""An alert: when somebody is told, what it means, and which procedure answers it."""

from dataclasses import dataclass, field
from enum import StrEnum

from infra.monitoring.series import Series

MINUTE, HOUR, DAY = 60, 3600, 86400


class Severity(StrEnum):
    """How bad it is; Monitoring's words."""

    CRITICAL = "CRITICAL"
    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True)
class Threshold:
    """A series beyond a value.

    Args:
        series: which.
        value: beyond which.
        window: seconds whose points are one value; a multiple of 60.
        is_below: whether what is less is wrong, instead of what is more.
        lasting: seconds that it must last, besides the window; a multiple of 60.
        of: what the series is divided by first.
    """

    series: Series
    value: float
    window: int
    is_below: bool = False
    lasting: int = 0
    of: Series | None = None


@dataclass(frozen=True)
class LogMatch:
    """An entry of a log.

    Args:
        filter: in Logging's language, as `series` says.
        labels: what a notification says of the entry: a name, and the field that has it.
    """

    filter: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Query:
    """An expression of PromQL that has a value.

    Args:
        promql: the expression, as `series` says.
        lasting: seconds that it must last.
    """

    promql: str
    lasting: int


@dataclass(frozen=True)
class BurnRate:
    """An error budget that is spent too fast.

    Args:
        rate: how many times as fast as the objective allows.
        window: seconds; the rate holds over the short one too, so that it ends when the errors do.
        short_window: seconds.
    """

    rate: float
    window: int
    short_window: int


# Monitoring takes one of a log or of PromQL alone, and of the others up to six: any of them is enough.
Conditions = tuple[Threshold, ...] | LogMatch | Query | BurnRate


@dataclass(frozen=True)
class Alert:
    """One alert.

    Args:
        name: ends the policy's name in Pulumi.
        title: what is the case, in a few words.
        severity: how bad that is.
        procedure: of the runbooks, which answers it.
        conditions: when.
        means: what it means, for a person whom it woke.
        look: where to look first.
        asks: what the procedure has to be told, as FIELD=VALUE.
        avoid: what makes it worse, after `Do not`.
    """

    name: str
    title: str
    severity: Severity
    procedure: str
    conditions: Conditions
    means: str
    look: str
    asks: tuple[str, ...] = ()
    avoid: str | None = None

    def documentation(self, stack: str, *, has_bastion: bool) -> str:
        """Markdown for the notification.

        Args:
            stack: whose it is.
            has_bastion: whether procedures come in by `holdfast connect`.
        """
        run = " ".join(("holdfast runbook run", self.procedure, *self.asks, "--stack", stack))
        commands = [f"holdfast runbook show {self.procedure}", run]
        if has_bastion:
            commands.insert(1, f"holdfast connect {stack}")
        return "\n\n".join(
            (
                self.means,
                f"First look: {self.look}",
                *((f"Do not {self.avoid}",) if self.avoid else ()),
                "Then, in another terminal than the tunnel that `connect` keeps open:" if has_bastion else "Then:",
                "\n".join(("```sh", *commands, "```\n")),
            )
        )
