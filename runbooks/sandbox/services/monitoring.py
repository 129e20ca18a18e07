"""Cloud Monitoring's MetricService over gRPC, at a loopback port."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.cloud.monitoring_v3.types import metric_service
from google.protobuf import any_pb2  # type: ignore[import-untyped]
from google.rpc import status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from runbooks.local.ports import HOST
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services.errors import CODES, ServiceError, absent
from runbooks.sandbox.services.monitoring_faults import Interrupting
from runbooks.sandbox.services.monitoring_metrics import Message, Metrics, NotAllWrittenError
from runbooks.sandbox.services.rest import support
from runbooks.sandbox.store import Store

SERVICE = "google.monitoring.v3.MetricService"
THREADS = 4
STOP_SECONDS = 2.0

METHODS = support(
    full="CreateTimeSeries CreateMetricDescriptor GetMetricDescriptor DeleteMetricDescriptor",
    partial={
        "ListTimeSeries": "a filter of equalities joined by AND; no aggregation, orderBy (UNIMPLEMENTED)",
        "ListMetricDescriptors": "a filter by metric.type only",
    },
    without="CreateServiceTimeSeries ListMonitoredResourceDescriptors GetMonitoredResourceDescriptor",
)


class MonitoringServer:
    """The service at a loopback port.

    Args:
        store: where everything is kept.
        port: where it listens; 0 for any.
        clock: the seconds since 1970.
        faults: those in force.
    """

    def __init__(
        self, store: Store, port: int = 0, clock: Callable[[], float] = time.time, faults: Faults | None = None
    ) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="monitoring"),
            # Or a second server would listen at the same port, and each call would go to one of them.
            options=[("grpc.so_reuseport", 0)],
            interceptors=(Interrupting(faults or Faults([])),),
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, _rpc_handlers(Metrics(store, clock))),)
        )
        try:
            self.port: int = self._server.add_insecure_port(f"{HOST}:{port}")
        except RuntimeError:
            message = f"port {port} of {HOST} is in use: Monitoring cannot listen there"
            raise SandboxError(message) from None

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Answer what was asked, and end."""
        self._server.stop(STOP_SECONDS).wait()


def _rpc_handlers(metrics: Metrics) -> dict[str, Any]:
    requests: dict[str, tuple[Any, Callable[[Message], Message]]] = {
        "CreateTimeSeries": (metric_service.CreateTimeSeriesRequest, metrics.create_time_series),
        "ListTimeSeries": (metric_service.ListTimeSeriesRequest, metrics.list_time_series),
        "CreateMetricDescriptor": (metric_service.CreateMetricDescriptorRequest, metrics.create_metric_descriptor),
        "GetMetricDescriptor": (metric_service.GetMetricDescriptorRequest, metrics.get_metric_descriptor),
        "ListMetricDescriptors": (metric_service.ListMetricDescriptorsRequest, metrics.list_metric_descriptors),
        "DeleteMetricDescriptor": (metric_service.DeleteMetricDescriptorRequest, metrics.delete_metric_descriptor),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _answering(method), request_deserializer=kind.pb().FromString, response_serializer=_serialize
        )
        for name, (kind, method) in requests.items()
    }
    for name in METHODS:
        if name not in handlers:
            handlers[name] = grpc.unary_unary_rpc_method_handler(_answering(_missing(name)))
    return handlers


def _answering(method: Callable[[Message], Message]) -> Callable[[Message, Any], Message]:
    def answer(request: Message, context: Any) -> Message:
        try:
            return method(request)
        except ServiceError as error:
            status = status_pb2.Status(code=CODES[error.code][1], message=str(error))
            if isinstance(error, NotAllWrittenError):
                detail = any_pb2.Any()
                detail.Pack(error.summary())
                status.details.append(detail)
            return context.abort_with_status(rpc_status.to_status(status))

    return answer


def _missing(name: str) -> Callable[[Message], Message]:
    def refuse(_request: Message) -> Message:
        method = f"{SERVICE}.{name}"
        raise absent(method)

    return refuse


def _serialize(message: Message) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized
