"""The way in from the internet."""

import hashlib
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.api import Api
from infra.components.armor import Armor
from infra.environment import Environment

EXTERNAL = "EXTERNAL_MANAGED"


@dataclass(frozen=True)
class LoadBalancerArgs:
    """What it needs.

    Args:
        api: what it leads to.
        domain: what it is called by; its record in the DNS is the address, and the certificate waits for that.
    """

    api: Api
    domain: str


class LoadBalancer(pulumi.ComponentResource):
    """A global address with a certificate, Cloud Armor before the service, and plain HTTP sent to HTTPS.

    Attributes:
        address: of the domain's record.
        url_map: the name by which its figures are told.
    """

    address: pulumi.Output[str]
    url_map: pulumi.Output[str]

    def __init__(self, env: Environment, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:LoadBalancer", env.name("load-balancer"), None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        address = gcp.compute.GlobalAddress(
            env.name("api"), gcp.compute.GlobalAddressArgs(name=env.name("api")), self._child
        )
        self.address = address.address
        self._listen(env, address, "https", "443", self._https(env, args))
        self._listen(env, address, "http", "80", self._http(env))
        self.register_outputs({})

    def _listen(
        self, env: Environment, address: gcp.compute.GlobalAddress, part: str, port: str, target: pulumi.Output[str]
    ) -> None:
        gcp.compute.GlobalForwardingRule(
            env.name(f"api-{part}"),
            gcp.compute.GlobalForwardingRuleArgs(
                name=env.name(f"api-{part}"),
                target=target,
                ip_address=address.id,
                port_range=port,
                load_balancing_scheme=EXTERNAL,
            ),
            self._child,
        )

    def _https(self, env: Environment, args: LoadBalancerArgs) -> pulumi.Output[str]:
        name = env.name("api")
        # One that is in use cannot be replaced under its name.
        ident = hashlib.sha256(args.domain.encode()).hexdigest()[:8]
        certificate = gcp.compute.ManagedSslCertificate(
            name,
            gcp.compute.ManagedSslCertificateArgs(
                name=f"{name}-{ident}",
                managed=gcp.compute.ManagedSslCertificateManagedArgs(domains=[args.domain]),
            ),
            self._child,
        )
        policy = gcp.compute.SSLPolicy(
            name, gcp.compute.SSLPolicyArgs(name=name, profile="MODERN", min_tls_version="TLS_1_2"), self._child
        )
        url_map = gcp.compute.URLMap(
            env.name("api-https"),
            gcp.compute.URLMapArgs(name=env.name("api-https"), default_service=self._backend(env, args).id),
            self._child,
        )
        self.url_map = url_map.name
        proxy = gcp.compute.TargetHttpsProxy(
            env.name("api-https"),
            gcp.compute.TargetHttpsProxyArgs(
                name=env.name("api-https"),
                url_map=url_map.id,
                ssl_certificates=[certificate.id],
                ssl_policy=policy.id,
            ),
            self._child,
        )
        return proxy.id

    def _http(self, env: Environment) -> pulumi.Output[str]:
        name = env.name("api-http")
        redirect = gcp.compute.URLMap(
            name,
            gcp.compute.URLMapArgs(
                name=name,
                default_url_redirect=gcp.compute.URLMapDefaultUrlRedirectArgs(
                    https_redirect=True, strip_query=False, redirect_response_code="PERMANENT_REDIRECT"
                ),
            ),
            self._child,
        )
        return gcp.compute.TargetHttpProxy(
            name, gcp.compute.TargetHttpProxyArgs(name=name, url_map=redirect.id), self._child
        ).id

    def _backend(self, env: Environment, args: LoadBalancerArgs) -> gcp.compute.BackendService:
        name = env.name("api")
        group = gcp.compute.RegionNetworkEndpointGroup(
            name,
            gcp.compute.RegionNetworkEndpointGroupArgs(
                name=name,
                region=env.config.region,
                network_endpoint_type="SERVERLESS",
                cloud_run=gcp.compute.RegionNetworkEndpointGroupCloudRunArgs(service=args.api.service.name),
            ),
            self._child,
        )
        return gcp.compute.BackendService(
            name,
            gcp.compute.BackendServiceArgs(
                name=name,
                load_balancing_scheme=EXTERNAL,
                protocol="HTTPS",
                backends=[gcp.compute.BackendServiceBackendArgs(group=group.id)],
                security_policy=Armor(env, self._child).policy.id,
                log_config=gcp.compute.BackendServiceLogConfigArgs(enable=True, sample_rate=1.0),
            ),
            self._child,
        )
