"""Cloud Run v2: services with revisions and traffic, and jobs whose executions really run."""

from pathlib import Path

from starlette.applications import Starlette

from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services.operations import Operations
from runbooks.sandbox.services.rest import Rest, support
from runbooks.sandbox.services.run_jobs import RunJobs
from runbooks.sandbox.services.run_services import RunServices
from runbooks.sandbox.services.secret_manager import SecretManager
from runbooks.sandbox.store import Store

OPERATION = "run.operation"

METHODS = support(
    full="""projects.locations.services.get projects.locations.services.list projects.locations.services.delete
        projects.locations.services.revisions.get projects.locations.services.revisions.list
        projects.locations.services.revisions.delete
        projects.locations.jobs.get projects.locations.jobs.list
        projects.locations.jobs.executions.get projects.locations.jobs.executions.list
        projects.locations.jobs.executions.cancel
        projects.locations.jobs.executions.tasks.get projects.locations.jobs.executions.tasks.list
        projects.locations.operations.get projects.locations.operations.wait projects.locations.operations.delete""",
    partial={
        "projects.locations.services.create": "revisions and traffic are kept, nothing is served; no validateOnly",
        "projects.locations.services.patch": "revisions and traffic are kept, nothing is served; no validateOnly, "
        "allowMissing",
        "projects.locations.jobs.create": "no validateOnly",
        "projects.locations.jobs.patch": "no validateOnly, allowMissing",
        "projects.locations.jobs.delete": "refused while an execution runs",
        "projects.locations.jobs.run": "`python -m runtime` with the container's args, whatever its image; no volumes, "
        "limits of memory or CPU, delayed execution; at most 4 tasks at once",
        "projects.locations.jobs.executions.delete": "refused while it runs",
        "projects.locations.operations.list": "a filter is ignored",
    },
    without="""projects.locations.exportImage projects.locations.exportImageMetadata
        projects.locations.exportMetadata projects.locations.exportProjectMetadata projects.locations.builds.submit
        projects.locations.instances.create projects.locations.instances.delete projects.locations.instances.get
        projects.locations.instances.getIamPolicy projects.locations.instances.list
        projects.locations.instances.patch projects.locations.instances.setIamPolicy
        projects.locations.instances.start projects.locations.instances.stop
        projects.locations.instances.testIamPermissions projects.locations.jobs.getIamPolicy
        projects.locations.jobs.setIamPolicy projects.locations.jobs.testIamPermissions
        projects.locations.jobs.executions.exportStatus projects.locations.services.getIamPolicy
        projects.locations.services.setIamPolicy projects.locations.services.testIamPermissions
        projects.locations.services.revisions.exportStatus projects.locations.sourceUploads.upload
        projects.locations.workerPools.create projects.locations.workerPools.delete
        projects.locations.workerPools.get projects.locations.workerPools.getIamPolicy
        projects.locations.workerPools.list projects.locations.workerPools.patch
        projects.locations.workerPools.setIamPolicy projects.locations.workerPools.testIamPermissions
        projects.locations.workerPools.revisions.delete projects.locations.workerPools.revisions.get
        projects.locations.workerPools.revisions.list""",
)
IRREGULAR = {"projects.locations.uploadSource": "projects.locations.sourceUploads.upload"}


def app(store: Store, folder: Path, faults: Faults | None = None) -> Starlette:
    """The service.

    Args:
        store: where it keeps its resources; a job's secrets are read from the Secret Manager there.
        folder: for the logs and working folders of executions.
        faults: those in force.
    """
    operations = Operations(store, OPERATION)
    services = RunServices(store, operations)
    jobs = RunJobs(store, operations, SecretManager(store), folder)
    handlers = {
        **services.handlers(),
        **jobs.handlers(),
        "projects.locations.operations.get": operations.get,
        "projects.locations.operations.list": operations.list_all,
        "projects.locations.operations.delete": operations.delete,
        "projects.locations.operations.wait": operations.wait,
    }
    waiting = ("projects.locations.operations.wait",)
    rest = Rest("run", "v2", handlers, lock=jobs.lock, waiting=waiting, irregular=IRREGULAR, faults=faults)
    return rest.app(start=jobs.start, stop=jobs.stop)
