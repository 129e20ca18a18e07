"""The bastion: a machine by which operators reach the database, and which nobody else reaches."""

from dataclasses import dataclass
from inspect import cleandoc

import pulumi
import pulumi_gcp as gcp

from infra import tunnel
from infra.components.database import Database
from infra.components.identity import Identity
from infra.components.network import BASTION_TAG, Network
from infra.duties import Duty
from infra.environment import Environment

IMAGE = "projects/cos-cloud/global/images/family/cos-stable"
# Its registry is reached by private Google access, as is the Admin API that the proxy asks.
PROXY = "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.25.4"
# The proxy does not log in for anybody: an operator's own token is the password.
UNIT = """
    #cloud-config
    write_files:
    - path: /etc/systemd/system/database-proxy.service
      permissions: "0644"
      owner: root
      content: |
        [Unit]
        Description=Cloud SQL Auth Proxy
        Wants=network-online.target docker.service
        After=network-online.target docker.service

        [Service]
        Restart=always
        RestartSec=5
        # The host's own firewall lets in nothing but SSH.
        ExecStartPre=/bin/sh -c '{rule} -C {match} || {rule} -A {match}'
        ExecStartPre=-/usr/bin/docker rm --force database-proxy
        ExecStart=/usr/bin/docker run --rm --name database-proxy --network host {image} {arguments}
        ExecStop=/usr/bin/docker stop database-proxy
    runcmd:
    - systemctl daemon-reload
    - systemctl start database-proxy.service
"""
RULE = "/sbin/iptables --wait"
MATCH = "INPUT --protocol tcp --dport {port} --jump ACCEPT"
# Of the proxy, by database.connectivity.
WAYS = {"PRIVATE_SERVICES_ACCESS": "--private-ip", "PRIVATE_SERVICE_CONNECT": "--psc"}


@dataclass(frozen=True)
class BastionArgs:
    """What the bastion is made of.

    Args:
        network: with the subnet that is its own.
        identity: who it is.
        database: that its proxy leads to.
    """

    network: Network
    identity: Identity
    database: Database


class Bastion(pulumi.ComponentResource):
    """A machine without a public address. It has no data, and may be deleted and made anew at any time."""

    machine: gcp.compute.Instance

    def __init__(self, env: Environment, args: BastionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Bastion", env.name("bastion"), None, opts)
        assert args.network.bastion_subnet is not None  # noqa: S101  # the network has one with access.bastion
        way = WAYS[env.config.database.connectivity]
        self.machine = gcp.compute.Instance(
            env.name("bastion"),
            gcp.compute.InstanceArgs(
                name=tunnel.machine(env),
                zone=tunnel.zone(env),
                machine_type=env.config.access.bastion_machine,
                tags=[BASTION_TAG],
                boot_disk=gcp.compute.InstanceBootDiskArgs(
                    initialize_params=gcp.compute.InstanceBootDiskInitializeParamsArgs(image=IMAGE)
                ),
                # Without an access configuration there is no public address.
                network_interfaces=[
                    gcp.compute.InstanceNetworkInterfaceArgs(subnetwork=args.network.bastion_subnet.id)
                ],
                shielded_instance_config=gcp.compute.InstanceShieldedInstanceConfigArgs(
                    enable_secure_boot=True, enable_vtpm=True, enable_integrity_monitoring=True
                ),
                service_account=gcp.compute.InstanceServiceAccountArgs(
                    email=args.identity.email(Duty.BASTION),
                    # What it may do, its roles say.
                    scopes=["cloud-platform"],
                ),
                metadata={
                    "enable-oslogin": "TRUE",
                    "block-project-ssh-keys": "TRUE",
                    "serial-port-enable": "FALSE",
                    "google-logging-enabled": "true",
                    "user-data": args.database.connection_name.apply(lambda name: cloud_config(name, way)),
                },
                allow_stopping_for_update=True,
            ),
            pulumi.ResourceOptions(
                parent=self,
                # What it runs is read only when it starts.
                replace_on_changes=["metadata"],
                # Both would have one name.
                delete_before_replace=True,
            ),
        )
        self.register_outputs({})


def cloud_config(connection_name: str, way: str) -> str:
    """What the machine runs, as cloud-init reads it: the proxy, on all of its addresses.

    Args:
        connection_name: of the database, as PROJECT:REGION:INSTANCE.
        way: the proxy's option for how the database is reached.
    """
    arguments = f"{way} --structured-logs --address=0.0.0.0 --port={tunnel.PROXY_PORT} {connection_name}"
    match = MATCH.format(port=tunnel.PROXY_PORT)
    return cleandoc(UNIT).format(rule=RULE, match=match, image=PROXY, arguments=arguments) + "\n"
