"""Cloud Run's services: each change of the template is a revision, and traffic is split among revisions."""

import secrets
import string

from runbooks.sandbox.services.calls import Call, Document, exists, ident
from runbooks.sandbox.services.errors import invalid, precondition
from runbooks.sandbox.services.operations import Operations
from runbooks.sandbox.services.rest import Handler
from runbooks.sandbox.services.run_resources import (
    NAME,
    RunResources,
    changed,
    condition,
    containers_of,
    new,
    refuse_options,
)
from runbooks.sandbox.store import Store

WRITABLE = (
    *("description", "labels", "annotations", "client", "clientVersion", "ingress", "launchStage", "template"),
    *("traffic", "scaling", "invokerIamDisabled", "defaultUriDisabled", "customAudiences", "binaryAuthorization"),
    *("multiRegionSettings", "iapEnabled", "functionalType", "sshEnabled"),
)
OUTPUT = (
    *("name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier"),
    *("observedGeneration", "terminalCondition", "conditions", "latestReadyRevision", "latestCreatedRevision", "uri"),
    *("trafficStatuses", "urls", "reconciling", "etag", "satisfiesPzs", "threatDetectionEnabled"),
)
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
BY_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
WHOLE = 100
# Of a revision, what may differ in one that is asked for again.
UNSPECIFIC = (
    *("name", "uid", "generation", "createTime", "updateTime", "service", "observedGeneration", "conditions", "etag"),
    *("annotations", "labels"),
)


class RunServices:
    """Services and their revisions, in a store. Nothing is served."""

    def __init__(self, store: Store, operations: Operations) -> None:
        self._services = RunResources(store, "service")
        self._revisions = RunResources(store, "revision", newest_first=True)
        self._operations = operations

    def handlers(self) -> dict[str, Handler]:
        """By method id."""
        return {
            "projects.locations.services.create": self.create,
            "projects.locations.services.get": self._services.get,
            "projects.locations.services.list": self._services.list_all,
            "projects.locations.services.patch": self.patch,
            "projects.locations.services.delete": self.delete,
            "projects.locations.services.revisions.get": self._revisions.get,
            "projects.locations.services.revisions.list": self._revisions.list_all,
            "projects.locations.services.revisions.delete": self.delete_revision,
        }

    def create(self, call: Call) -> Document:
        """A service with its first revision."""
        refuse_options(call)
        name = self._services.new_name(call, NAME)
        body = call.fields(WRITABLE, OUTPUT)
        self._services.refuse_taken(name)
        containers_of(body.get("template"), "service.template")
        location, own = call.name.rpartition("/")[2], name.rpartition("/")[2]
        uri = f"https://{own}-sandbox.{location}.run.app"
        service = {
            "ingress": "INGRESS_TRAFFIC_ALL",
            "launchStage": "GA",
            "traffic": [{"type": LATEST, "percent": WHOLE}],
            **body,
            **new(name),
            "uri": uri,
            "urls": [uri],
        }
        return self._done(self._with_revision(service))

    def patch(self, call: Call) -> Document:
        """A new revision if the template changes; traffic and labels without one."""
        refuse_options(call, "allowMissing")
        service = self._services.current(call.name, call.body.get("etag"))
        body = call.fields(WRITABLE, OUTPUT)
        before = service["template"]
        for field in call.mask(WRITABLE, default=WRITABLE):
            if field in body:
                service[field] = body[field]
            else:
                service.pop(field, None)
        service.setdefault("traffic", [{"type": LATEST, "percent": WHOLE}])
        containers_of(service.get("template"), "service.template")
        changed(service)
        if service["template"] != before or call.query.get("forceNewRevision") == "true":
            return self._done(self._with_revision(service))
        return self._done(self._ready(service))

    def delete(self, call: Call) -> Document:
        """The service with its revisions."""
        refuse_options(call)
        service = self._services.current(call.name, call.query.get("etag"))
        for revision in self._revisions.below(call.name):
            self._revisions.forget(revision["name"])
        self._services.forget(call.name)
        return self._done(service)

    def delete_revision(self, call: Call) -> Document:
        """A revision that serves nothing."""
        refuse_options(call)
        revision = self._revisions.current(call.name, call.query.get("etag"))
        parent, _, own = call.name.rpartition("/revisions/")
        service = self._services.read(parent)
        serving = {status["revision"] for status in service["trafficStatuses"]}
        if own in serving or service["latestCreatedRevision"] == call.name:
            message = f"Revision '{own}' cannot be deleted: it serves traffic or is the latest."
            raise precondition(message)
        self._revisions.forget(call.name)
        return self._operations.finished(call.name, self._revisions.answer(revision))

    def _done(self, service: Document) -> Document:
        return self._operations.finished(service["name"], self._services.answer(service))

    def _with_revision(self, service: Document) -> Document:
        template = dict(service["template"])
        own = service["name"].rpartition("/")[2]
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(3))
        name = template.pop("revision", None) or f"{own}-{int(service['generation']):05}-{letters}"
        ident(str(name), f"{own}-[a-z0-9-]{{0,62}}", "service.template.revision")
        full = f"{service['name']}/revisions/{name}"
        present = self._revisions.find(full)
        if present is not None and _spec(present) != _spec(template):
            message = f"Revision named '{name}' with different configuration already exists."
            raise exists(message)
        if present is not None:
            # What is asked for is there.
            service |= {"latestCreatedRevision": full, "latestReadyRevision": full}
            return self._ready(service)
        revision = {
            **template,
            **new(full),
            "service": own,
            "observedGeneration": "1",
            "conditions": [condition("Ready", "CONDITION_SUCCEEDED")],
        }
        # The service first: a refused traffic split leaves no revision behind.
        service |= {"latestCreatedRevision": full, "latestReadyRevision": full}
        self._ready(service, made=name)
        self._revisions.put(revision)
        return service

    def _ready(self, service: Document, made: str | None = None) -> Document:
        service |= {
            "observedGeneration": service["generation"],
            "trafficStatuses": self._split(service, made),
            "terminalCondition": condition("Ready", "CONDITION_SUCCEEDED"),
            "conditions": [
                condition("RoutesReady", "CONDITION_SUCCEEDED"),
                condition("ConfigurationsReady", "CONDITION_SUCCEEDED"),
            ],
        }
        return self._services.put(service)

    def _split(self, service: Document, made: str | None) -> list[Document]:
        """Which revision gets how much.

        Args:
            service: with its traffic as it was asked for.
            made: a revision that is about to be written.
        """
        latest = service["latestReadyRevision"].rpartition("/")[2]
        statuses = []
        for number, target in enumerate(service["traffic"]):
            revision = target.get("revision") or latest
            if revision != made and self._revisions.find(f"{service['name']}/revisions/{revision}") is None:
                message = f"service.traffic[{number}].revision: Revision '{revision}' does not exist."
                raise invalid(message)
            kind = BY_REVISION if target.get("revision") else LATEST
            if target.get("type", kind) != kind:
                message = f"service.traffic[{number}].type: {target['type']} does not fit the revision."
                raise invalid(message)
            status = {"type": kind, "revision": revision, "percent": target.get("percent", 0)}
            if tag := target.get("tag"):
                status |= {"tag": tag, "uri": service["uri"].replace("https://", f"https://{tag}---")}
            statuses.append(status)
        if sum(status["percent"] for status in statuses) != WHOLE:
            message = "service.traffic: percents must sum to 100."
            raise invalid(message)
        return statuses


def _spec(revision: Document) -> Document:
    """What a revision runs: not what it is called and when it was made."""
    return {field: value for field, value in revision.items() if field not in UNSPECIFIC}
