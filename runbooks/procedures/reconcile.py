"""What is left for people: the infrastructure's state has to know what a procedure did."""

from runbooks.engine.run import Run

TYPE = "gcp:sql/databaseInstance:DatabaseInstance"


def with_replaced_instance(run: Run, new: str) -> list[str]:
    """The program's instance is another one now, and the old one stays until people delete it.

    Its name is replaced in the state of all that is about it: `pulumi state delete` refuses what others depend on, and
    `pulumi import` would make it anew elsewhere in the tree, beside logins that are the old one's.
    """
    old, stack = run.target.instance, run.target.stack or run.target.name
    return [
        f"The program and its alerts know {old} until all of this is done",
        f"pulumi config set --stack {stack} --path database.instance {new}",
        f"pulumi stack export --stack {stack} --file before.json # to go back: pulumi stack import with it",
        f"export old=$(pulumi stack output target --stack {stack} --json | jq -r .instance) # what the state has",
        rf"perl -pe 's/(?<![\w-])\Q$ENV{{old}}\E(?![\w-])/{new}/g' before.json > after.json",
        f"pulumi stack import --stack {stack} --file after.json # logins and the database are there already",
        *_without_replica(run, new),
        f"pulumi refresh --stack {stack} --yes",
        *_up(run, new),
        f"Stop {old} when nobody writes there: gcloud sql instances patch {old} --activation-policy=NEVER",
        f"Delete {old} when nobody needs it any more; its backups go with it",
    ]


def with_instance_elsewhere(run: Run, new: str) -> list[str]:
    """The instance is in another region than the program's, which cannot take it for its own."""
    target = run.target
    stack = target.stack or target.name
    output = f"pulumi stack output target --stack {stack} --json"
    return [
        f"{new} is not in {target.region}, where the program has its database, and the program cannot have it",
        f"pulumi up --stack {stack} # until you are back, for a release alone; without --refresh it leaves both be",
        f"{output} | jq '.instance = \"{new}\"' > {new}.json # the procedures' target until then: --target {new}.json",
        *(
            f"After a switchover, which moves no pointer: printf %s {target.project}:REGION:INSTANCE | "
            f"gcloud secrets versions add {secret} --data-file=-, and a new revision of what reads it"
            for secret in dict.fromkeys(service.secret for service in target.services)
        ),
    ]


def _without_replica(run: Run, new: str) -> list[str]:
    replica, old, project = run.target.dr_replica, run.target.instance, run.target.project
    if replica in (None, new):
        return []
    return [
        f"{replica} follows {old} and cannot follow {new}: it is made anew, and until then a disaster finds no replica",
        f"gcloud sql instances patch {replica} --no-deletion-protection --project={project}",
        f"gcloud sql instances delete {replica} --project={project} # a read pool likewise, if there is one",
    ]


def _up(run: Run, new: str) -> list[str]:
    stack = run.target.stack or run.target.name
    if run.target.dr_replica in (None, new):
        return [
            f"pulumi preview --diff --stack {stack} # has to show no replacement and no deletion",
            f"pulumi up --stack {stack}",
        ]
    # A deleted instance's name is taken for a week.
    suffix = f"$(pulumi stack --stack {stack} --show-urns | grep -o 'urn:.*randomId:RandomId::.*database-dr' | head -1)"
    return [
        f"suffix={suffix}",
        f'pulumi preview --diff --stack {stack} --replace "$suffix" # has to replace and to delete that alone',
        f'pulumi up --stack {stack} --replace "$suffix"',
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
