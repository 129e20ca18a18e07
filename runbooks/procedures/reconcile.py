"""What is left for people: the infrastructure's state has to know what a procedure did."""

from runbooks.engine.run import Run

TYPE = "gcp:sql/databaseInstance:DatabaseInstance"


def with_replaced_instance(run: Run, new: str) -> list[str]:
    """The state's instance is another one now, and the old one stays until people delete it."""
    target = run.target
    old, stack = target.instance, target.stack or target.name
    urn = f"$(pulumi stack --stack {stack} --show-urns | grep -o 'urn:.*{TYPE}::[^ ]*' | head -1)"
    return [
        f"Write {new} in the place of {old} into the program's settings of stack {stack}, and into the target",
        f"urn={urn}",
        f'pulumi state unprotect "$urn" --stack {stack} --yes',
        f'pulumi state delete "$urn" --stack {stack} --yes # the state forgets {old}; nothing is deleted',
        f'pulumi import {TYPE} "${{urn##*::}}" projects/{target.project}/instances/{new} --stack {stack} --yes',
        f"pulumi preview --diff --refresh --stack {stack} # has to show no replacement and no deletion",
        f"Look for what only knows the old connection name {target.project}:{target.region}:{old}, as GCP_SQL_INSTANCE",
        f"Stop {old} when nobody writes there: gcloud sql instances patch {old} --activation-policy=NEVER",
        f"Delete {old} when nobody needs it any more; its backups go with it",
    ]


def of_unused_instance(run: Run, new: str) -> list[str]:
    """Nobody was sent to it."""
    return [
        f"{new} serves nobody, and costs as much as {run.target.instance}",
        f"To delete it: gcloud sql instances delete {new} --project={run.target.project}",
    ]


def with_refresh(run: Run) -> list[str]:
    """The instance is the same, and what the service says of it is not."""
    stack = run.target.stack or run.target.name
    return [
        f"pulumi refresh --stack {stack} --yes",
        f"pulumi preview --diff --stack {stack} # has to show no change",
    ]
