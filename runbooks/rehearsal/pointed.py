"""Whether a service that is told by a secret where the database is was told of another."""

from google.cloud import run_v2, secretmanager_v1

from runbooks.engine.cloud import options
from runbooks.engine.target import Service
from runbooks.rehearsal.environment import POINTED
from runbooks.rehearsal.stage import Stage


def see_moved(stage: Stage, instance: str) -> None:
    """See that the secrets name an instance, and that each service's revision is newer than what it reads.

    Raises:
        RehearsalError: they do not, or it is not.
    """
    wanted = stage.tools.admin.instances.get(instance).connection_name
    for service in stage.target.services:
        named = stage.tools.secrets.newest(service.secret).get_secret_value()
        stage.expect(f"{service.name} is told of {instance}", holds=named == wanted, found=named)
        if service.service is not None:
            _see_revision(stage, service, service.service)


def _see_revision(stage: Stage, service: Service, name: str) -> None:
    services = run_v2.ServicesClient(**options(stage.target.endpoints.run))
    revisions = run_v2.RevisionsClient(**options(stage.target.endpoints.run))
    secrets = secretmanager_v1.SecretManagerServiceClient(**options(stage.target.endpoints.secretmanager))
    serving = services.get_service(name=name).latest_ready_revision
    revision = revisions.get_revision(name=serving)
    version = secrets.get_secret_version(name=f"{service.secret}/versions/latest")
    for client in (services, revisions, secrets):
        client.transport.close()  # type: ignore[no-untyped-call]  # Google's clients leave it untyped
    (told,) = (one for one in revision.containers[0].env if one.name == POINTED)
    reads = told.value_source.secret_key_ref
    stage.expect(
        f"a revision of {service.name} reads it",
        holds=(reads.secret, reads.version) == (service.secret.rpartition("/")[2], "latest")
        and revision.create_time >= version.create_time,
        found=f"{serving} of {revision.create_time}",
    )
