"""The monitor that Pulumi's runtime talks to: it keeps each registration and reaches nothing."""

import threading
from typing import Any

from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]  # it has no types
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto import resource_pb2

from runbooks.plan.errors import PlanError
from runbooks.plan.model import STACK, Invoke, Resource
from runbooks.plan.wire import masked, revealed, secret, to_struct

# Without RESOURCE_MONITOR_FEATURE_ALIAS_SPECS, so that the SDK itself computes each alias as a whole URN, and without
# transforms, which only the engine can run.
FEATURES = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
)


class Unknown(Mocks):
    """The answers of a first `pulumi preview`: what the program gives, and nothing that the cloud would add."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """A resource that does not exist yet."""
        return args.resource_id, {}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        """No answer."""
        del args
        return {}, None


class Monitor(MockMonitor):
    """Keeps what is registered. The runtime calls it from several threads.

    Args:
        stack: its name, of which URNs are made.
        project: the project's.
        mocks: what resources and functions answer.
    """

    def __init__(self, stack: str, project: str, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.registered: dict[str, Resource] = {}
        self.invokes: list[Invoke] = []
        self._prefix = f"urn:pulumi:{stack}::{project}::"
        self._lock = threading.Lock()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The engine's own: with every ancestor's type but the stack's."""
        qualified = parent.split("::")[2] if parent else STACK
        return f"{self._prefix}{type_ if qualified == STACK else f'{qualified}${type_}'}::{name}"

    def GetDeploymentInfo(self, request: Empty) -> resource_pb2.DeploymentInfo:  # noqa: N802  # gRPC's
        """What this monitor can do."""
        del request
        return resource_pb2.DeploymentInfo(supportedFeatures=FEATURES)

    def RegisterResource(  # noqa: N802  # gRPC's
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        """A resource or a component."""
        urn = self.make_urn(request.parent, request.type, request.name)
        self._keep(_resource(urn, request))
        if not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        args = MockResourceArgs(
            typ=request.type,
            name=request.name,
            inputs=revealed(request.object),
            provider=request.provider,
            resource_id=request.importId,
            custom=True,
        )
        id_, state = self.mocks.new_resource(args)
        known = _with_inputs(request.object, state, list(request.additionalSecretOutputs))
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_ or "", object=known)

    def ReadResource(  # noqa: N802  # gRPC's
        self, request: resource_pb2.ReadResourceRequest
    ) -> resource_pb2.ReadResourceResponse:
        """A resource that exists already."""
        urn = self.make_urn(request.parent, request.type, request.name)
        self._keep(
            Resource(
                urn=urn,
                type=request.type,
                name=request.name,
                custom=True,
                read=True,
                parent=request.parent or None,
                provider=request.provider or None,
                inputs=masked(request.properties),
                depends_on=sorted(request.dependencies),
                import_id=request.id,
            )
        )
        args = MockResourceArgs(
            typ=request.type,
            name=request.name,
            inputs=revealed(request.properties),
            resource_id=request.id,
            custom=True,
        )
        _, state = self.mocks.new_resource(args)
        known = _with_inputs(request.properties, state, list(request.additionalSecretOutputs))
        return resource_pb2.ReadResourceResponse(urn=urn, id=request.id, properties=known)

    def RegisterResourceOutputs(  # noqa: N802  # gRPC's
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> Empty:
        """What a component or the stack shows."""
        with self._lock:
            self.registered[request.urn].outputs = masked(request.outputs)
        return Empty()

    def Invoke(  # noqa: N802  # gRPC's
        self, request: resource_pb2.ResourceInvokeRequest
    ) -> resource_pb2.ResourceInvokeResponse:
        """A question to the cloud: kept, not asked."""
        args = revealed(request.args)
        with self._lock:
            self.invokes.append(Invoke(token=request.tok, args=masked(request.args)))
        answer, _ = self.mocks.call(MockCallArgs(token=request.tok, args=args, provider=request.provider))
        if not answer:
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        return resource_pb2.ResourceInvokeResponse(**{"return": to_struct(answer)})

    def ExistsResource(  # noqa: N802  # gRPC's
        self, request: resource_pb2.ExistsResourceRequest
    ) -> resource_pb2.ExistsResourceResponse:
        """Also a question to the cloud."""
        with self._lock:
            self.invokes.append(Invoke(token=f"exists {request.type}", args={"id": request.id}))
        return resource_pb2.ExistsResourceResponse(unknown=True)

    def _keep(self, resource: Resource) -> None:
        with self._lock:
            if resource.urn in self.registered:
                message = f"two resources have one URN: {resource.urn}"
                raise PlanError(message)
            self.registered[resource.urn] = resource


def _resource(urn: str, request: resource_pb2.RegisterResourceRequest) -> Resource:
    timeouts = {name: getattr(request.customTimeouts, name) for name in ("create", "update", "delete", "read")}
    return Resource(
        urn=urn,
        type=request.type,
        name=request.name,
        custom=request.custom,
        parent=request.parent or None,
        provider=request.provider or None,
        inputs=masked(request.object),
        depends_on=sorted(request.dependencies),
        property_dependencies={
            name: sorted(waits.urns) for name, waits in sorted(request.propertyDependencies.items()) if waits.urns
        },
        protect=request.protect,
        ignore_changes=list(request.ignoreChanges),
        replace_on_changes=list(request.replaceOnChanges),
        additional_secret_outputs=sorted(request.additionalSecretOutputs),
        aliases=sorted(request.aliasURNs),
        custom_timeouts={name: value for name, value in timeouts.items() if value},
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        deleted_with=request.deletedWith or None,
        retain_on_delete=request.retainOnDelete,
        import_id=request.importId or None,
    )


def _with_inputs(inputs: Struct, state: dict[str, Any], secrets: list[str]) -> Struct:
    """The state that a provider would answer: what it adds, and the inputs with their secret marks."""
    known = to_struct(state)
    for name, value in inputs.fields.items():
        known.fields[name].CopyFrom(value)
    for name in secrets:
        if name in known.fields:
            known.fields[name].CopyFrom(secret(known.fields[name]))
    return known
