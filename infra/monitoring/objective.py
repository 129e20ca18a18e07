"""What the objective counts: requests as the load balancer sees them, or as Cloud Run does."""

from infra.monitoring.series import Series

# Of the requests, within the limit that the alert on queries has too.
P95 = 0.95
BALANCER = "loadbalancing.googleapis.com/https"
RUN = "run.googleapis.com"


def requests(*, is_balanced: bool) -> Series:
    """All of them."""
    return _series("request_count", is_balanced=is_balanced)


def failed(*, is_balanced: bool) -> Series:
    """Those that failed on our side."""
    # The balancer's label is a number, Cloud Run's a text.
    return _series("request_count", is_balanced=is_balanced, response_code_class="500" if is_balanced else "5xx")


def latencies(*, is_balanced: bool) -> Series:
    """How long they took, in ms."""
    return _series("total_latencies" if is_balanced else "request_latencies", is_balanced=is_balanced)


def _series(metric: str, *, is_balanced: bool, **labels: str) -> Series:
    where = {f"metric.labels.{name}": value for name, value in labels.items()}
    if is_balanced:
        return Series(f"{BALANCER}/{metric}", "https_lb_rule", {"resource.labels.url_map_name": "$url_map", **where})
    return Series(f"{RUN}/{metric}", "cloud_run_revision", {"resource.labels.service_name": "$service", **where})
