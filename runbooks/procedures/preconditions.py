"""What several procedures need before they begin."""

from runbooks.engine.run import Run


def instance_serves(run: Run) -> None:
    """The target's instance is RUNNABLE and not stopped."""
    instance = run.instance()
    policy = instance.settings.activation_policy
    run.require(
        f"Instance {instance.name} serves",
        f"{instance.state}, activation policy {policy}",
        "see holdfast runbook run diagnose-connection; a stopped instance starts by activation policy ALWAYS",
        holds=instance.state == "RUNNABLE" and policy != "NEVER",
    )


def no_operation_runs(run: Run) -> None:
    """No other operation holds the instance."""
    running = [one for one in run.tools.admin.operations.list(run.target.instance) if not one.is_done]
    run.require(
        f"No operation runs on {run.target.instance}",
        ", ".join(f"{one.operation_type} ({one.status})" for one in running) or "none",
        "wait until it has ended; holdfast runbook run cancel-operation ends one",
        holds=not running,
    )
