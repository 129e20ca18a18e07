"""An instance whose disk is full: shut down as Cloud SQL does it, until it is given more."""

from runbooks.sandbox.sql.records import Instance

SHUT_DOWN = "SOFT_SHUTDOWN"
# By how much the service lets a disk grow: a part of its size and five, up to the most.
LEAST_GB, PART, MOST_GB = 5, 25, 25


def is_full(instance: Instance) -> bool:
    """Whether an instance was shut down since its disk is full."""
    return bool(instance.resource.get("outOfDiskReport", {}).get("sqlOutOfDiskState") == SHUT_DOWN)


def filled(instance: Instance) -> Instance:
    """The instance when its disk is full: larger if it may grow by itself, or else shut down."""
    size = _size(instance)
    settings = instance.settings
    if settings.get("storageAutoResize", True):
        # 0 is no limit.
        limit = int(settings.get("storageAutoResizeLimit", 0)) or size + _increase(size)
        if limit > size:
            grown = str(min(size + _increase(size), limit))
            return instance.has(settings=settings | {"dataDiskSizeGb": grown}).bumped()
    return _shut_down(instance, _increase(size))


def resized(former: Instance, wanted: Instance) -> Instance:
    """A shut down instance with other settings: it serves again when its disk is larger by as much as was asked.

    Less than that counts too: what is asked from then on is the rest.
    """
    lacks = former.resource["outOfDiskReport"]["sqlMinRecommendedIncreaseSizeGb"] - (_size(wanted) - _size(former))
    if lacks > 0:
        return _shut_down(wanted, lacks)
    return wanted.has(state="RUNNABLE", suspensionReason=None, outOfDiskReport=None)


def _shut_down(instance: Instance, lacks: int) -> Instance:
    return instance.has(
        state="SUSPENDED",
        suspensionReason=["OPERATIONAL_ISSUE"],
        outOfDiskReport={"sqlOutOfDiskState": SHUT_DOWN, "sqlMinRecommendedIncreaseSizeGb": lacks},
    )


def _size(instance: Instance) -> int:
    return int(instance.settings["dataDiskSizeGb"])


def _increase(size: int) -> int:
    return min(size // PART + LEAST_GB, MOST_GB)
