"""The bastion: a machine by which operators reach the database, and which nobody else reaches."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra import tunnel
from infra.components.network import BASTION_TAG, Network
from infra.environment import Environment

# OpenSSH forwards where nobody says otherwise, and Debian's does not; the newest of the family is taken when the
# machine is made.
IMAGE = "projects/debian-cloud/global/images/family/debian-13"
# https://cloud.google.com/compute/docs/oslogin/set-up-oslogin, as of 2026-11: as oneself, and never as root.
LOGIN = "roles/compute.osLogin"
TUNNEL = "roles/iap.tunnelResourceAccessor"


@dataclass(frozen=True)
class BastionArgs:
    """What the bastion is made of.

    Args:
        network: with the subnet that is its own.
    """

    network: Network


class Bastion(pulumi.ComponentResource):
    """A machine without a public address. It has no data, and may be deleted and made anew at any time.

    It is nobody in Google's eyes: without a service account there is no token on it for who comes in.
    """

    machine: gcp.compute.Instance

    def __init__(self, env: Environment, args: BastionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Bastion", env.name("bastion"), None, opts)
        assert args.network.bastion_subnet is not None  # noqa: S101  # the network has one with access.bastion
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
                metadata={
                    "enable-oslogin": "TRUE",
                    "block-project-ssh-keys": "TRUE",
                    "serial-port-enable": "FALSE",
                },
                allow_stopping_for_update=True,
            ),
            # Both would have one name.
            pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        for member in env.config.access.operators:
            self._let_in(env, member)
        self.register_outputs({})

    def _let_in(self, env: Environment, member: str) -> None:
        # The machine's own name: its grants are gone with it, and are made anew with it.
        gcp.compute.InstanceIAMMember(
            env.name(f"bastion-login-{member}"),
            gcp.compute.InstanceIAMMemberArgs(
                instance_name=self.machine.name, zone=tunnel.zone(env), role=LOGIN, member=member
            ),
            pulumi.ResourceOptions(parent=self),
        )
        gcp.iap.TunnelInstanceIAMMember(
            env.name(f"bastion-tunnel-{member}"),
            gcp.iap.TunnelInstanceIAMMemberArgs(
                instance=self.machine.name,
                zone=tunnel.zone(env),
                role=TUNNEL,
                member=member,
                condition=gcp.iap.TunnelInstanceIAMMemberConditionArgs(
                    title="SSH only", expression=f"destination.port == {tunnel.SSH_PORT}"
                ),
            ),
            pulumi.ResourceOptions(parent=self),
        )
