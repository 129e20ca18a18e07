"""Faults of a gRPC service: an HTTP status is answered as the code that stands for it."""

import time
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]

from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services.errors import by_status


class Interrupting(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses calls, or lets them wait, before their handlers see them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Which handler answers a call."""
        method = f"monitoring.{handler_call_details.method.rpartition('/')[2]}"
        status = self._faults.status(method)
        if status is None:
            handler, seconds = continuation(handler_call_details), self._faults.seconds(method)
            return _slow(handler, seconds) if handler and seconds else handler
        error = by_status(status)

        def refuse(_request: bytes, context: Any) -> None:
            context.abort(grpc.StatusCode[error.code], str(error))

        return grpc.unary_unary_rpc_method_handler(refuse)


def _slow(handler: Any, seconds: float) -> Any:
    def answer(request: Any, context: Any) -> Any:
        # Here and not before: the thread that looks for handlers is one for all calls.
        time.sleep(seconds)
        return handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)
