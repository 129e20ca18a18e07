"""The steps at which an operation can be held by a fault: between them nothing that matters is written down."""

_EXCHANGE = ("stopped", "decided", "named", "promoted", "demoted")

# By the method that begins it, in their order.
STEPS = {
    "instances.clone": ("copied",),
    "instances.failover": ("killed", "decided", "promoted", "served", "followed"),
    "instances.promoteReplica": _EXCHANGE,
    "instances.restoreBackup": ("restored", "decided"),
    "instances.switchover": _EXCHANGE,
}
