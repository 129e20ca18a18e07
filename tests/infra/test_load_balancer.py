"""The load balancer: nothing in clear, and what Cloud Armor turns away."""

from typing import Any

from tests.contract.plans import planned
from tests.contract.workloads import OTHER_SERVICE, only

POLICY = "gcp:compute/securityPolicy:SecurityPolicy"


def rules(changes: tuple[tuple[str, str], ...] = ()) -> list[dict[str, Any]]:
    """Cloud Armor's, in the order in which they are asked."""
    found = only(planned("prod", resolve=True, changes=changes), POLICY).inputs["rules"]
    return sorted(found, key=lambda rule: rule["priority"])


def test_without_the_setting_there_is_none() -> None:
    plan = planned("dev")
    assert plan.of_type(POLICY) == []
    assert plan.of_type("gcp:compute/globalForwardingRule:GlobalForwardingRule") == []


def test_plain_http_is_only_sent_on() -> None:
    plan = planned("prod", resolve=True)
    ports = {
        one.inputs["portRange"]: one.inputs["target"]
        for one in plan.of_type("gcp:compute/globalForwardingRule:GlobalForwardingRule")
    }
    assert set(ports) == {"80", "443"}
    clear = only(plan, "gcp:compute/targetHttpProxy:TargetHttpProxy")
    assert ports["80"].endswith(clear.inputs["name"])
    sent_on = only(plan, "gcp:compute/uRLMap:URLMap", "holdfast-api-http").inputs
    assert sent_on["defaultUrlRedirect"]["httpsRedirect"]
    assert "defaultService" not in sent_on


def test_tls_is_modern_and_for_the_domain() -> None:
    plan = planned("prod", resolve=True)
    policy = only(plan, "gcp:compute/sSLPolicy:SSLPolicy").inputs
    assert (policy["minTlsVersion"], policy["profile"]) == ("TLS_1_2", "MODERN")
    certificate = only(plan, "gcp:compute/managedSslCertificate:ManagedSslCertificate").inputs
    assert certificate["managed"] == {"domains": ["api.holdfast.example"]}
    # One in use can only be replaced by one of another name.
    other = planned("prod", resolve=True, changes=OTHER_SERVICE)
    assert only(other, "gcp:compute/managedSslCertificate:ManagedSslCertificate").inputs["name"] != certificate["name"]


def test_every_request_is_logged_and_passes_cloud_armor() -> None:
    backend = only(planned("prod", resolve=True), "gcp:compute/backendService:BackendService").inputs
    assert backend["logConfig"] == {"enable": True, "sampleRate": 1}
    assert backend["securityPolicy"].endswith("/holdfast-api")


def test_attacks_are_turned_away_before_anybody_is_let_pass() -> None:
    *attacks, rate, rest = rules()
    assert {rule["action"] for rule in attacks} == {"deny(403)"}
    assert (rate["action"], rest["action"]) == ("rate_based_ban", "allow")
    # Bodies hold what looks like an attack: it is logged, and let through.
    enforced = {rule["description"] for rule in attacks if not rule["preview"]}
    assert enforced == {"scannerdetection-v33-stable", "protocolattack-v33-stable"}


def test_a_setting_changes_how_many_requests_an_address_has() -> None:
    *_, rate, _ = rules(OTHER_SERVICE)
    options = rate["rateLimitOptions"]
    assert options["rateLimitThreshold"] == {"count": 120, "intervalSec": 60}
    assert (options["banDurationSec"], options["enforceOnKey"]) == (60, "IP")
    assert (options["conformAction"], options["exceedAction"]) == ("allow", "deny(429)")
