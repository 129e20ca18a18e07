"""Cloud Armor: what is turned away before the service sees it."""

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment

# Of https://cloud.google.com/armor/docs/waf-rules, as of 2026-11, at the sensitivity with the fewest false alarms.
ENFORCED = ("scannerdetection-v33-stable", "protocolattack-v33-stable")
# Bodies hold SMILES, notes and prompts, which look like attacks: what these would refuse is only logged.
LOOKED_AT = ("sqli-v33-stable", "xss-v33-stable", "lfi-v33-stable", "rce-v33-stable")
SENSITIVITY = 1
FIRST = 1000
STEP = 100
# A rule that lets somebody pass ends the search: this one comes after the others.
RATE = 9000
REST = 2147483647


class Armor(pulumi.ComponentResource):
    """The rules, in the order in which they are asked."""

    policy: gcp.compute.SecurityPolicy

    def __init__(self, env: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Armor", env.name("armor"), None, opts)
        limits = env.config.service.armor
        rules = [_waf(FIRST + number * STEP, name) for number, name in enumerate((*ENFORCED, *LOOKED_AT))]
        rules += [_rate(limits.requests_per_minute, limits.ban_seconds), _rest()]
        self.policy = gcp.compute.SecurityPolicy(
            env.name("api"),
            gcp.compute.SecurityPolicyArgs(
                name=env.name("api"),
                type="CLOUD_ARMOR",
                rules=rules,
                advanced_options_config=gcp.compute.SecurityPolicyAdvancedOptionsConfigArgs(
                    json_parsing="STANDARD", log_level="NORMAL"
                ),
                adaptive_protection_config=gcp.compute.SecurityPolicyAdaptiveProtectionConfigArgs(
                    layer7_ddos_defense_config=gcp.compute.SecurityPolicyAdaptiveProtectionConfigLayer7DdosDefenseConfigArgs(
                        enable=limits.adaptive_protection
                    )
                ),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _waf(priority: int, name: str) -> gcp.compute.SecurityPolicyRuleArgs:
    return gcp.compute.SecurityPolicyRuleArgs(
        priority=priority,
        action="deny(403)",
        preview=name in LOOKED_AT,
        description=name,
        match=gcp.compute.SecurityPolicyRuleMatchArgs(
            expr=gcp.compute.SecurityPolicyRuleMatchExprArgs(
                expression=f"evaluatePreconfiguredWaf('{name}', {{'sensitivity': {SENSITIVITY}}})"
            )
        ),
    )


def _rate(requests: int, ban_seconds: int) -> gcp.compute.SecurityPolicyRuleArgs:
    return gcp.compute.SecurityPolicyRuleArgs(
        priority=RATE,
        action="rate_based_ban",
        description="So many requests of one address, or none of them for a while.",
        match=_everybody(),
        rate_limit_options=gcp.compute.SecurityPolicyRuleRateLimitOptionsArgs(
            conform_action="allow",
            exceed_action="deny(429)",
            enforce_on_key="IP",
            rate_limit_threshold=gcp.compute.SecurityPolicyRuleRateLimitOptionsRateLimitThresholdArgs(
                count=requests, interval_sec=60
            ),
            ban_duration_sec=ban_seconds,
        ),
    )


def _rest() -> gcp.compute.SecurityPolicyRuleArgs:
    return gcp.compute.SecurityPolicyRuleArgs(
        priority=REST, action="allow", description="Google wants one for the rest.", match=_everybody()
    )


def _everybody() -> gcp.compute.SecurityPolicyRuleMatchArgs:
    return gcp.compute.SecurityPolicyRuleMatchArgs(
        versioned_expr="SRC_IPS_V1",
        config=gcp.compute.SecurityPolicyRuleMatchConfigArgs(src_ip_ranges=["*"]),
    )
