"""Who is told."""

import re

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment


class Channels(pulumi.ComponentResource):
    """One channel an address. With none, alerts are seen in the console alone.

    Attributes:
        names: of the channels, for policies.
    """

    def __init__(self, env: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Channels", env.name("channels"), None, opts)
        self.names = [
            gcp.monitoring.NotificationChannel(
                # By the address, lest another place in the list make it anew.
                env.name(f"email-{re.sub('[^a-z0-9]+', '-', address.lower())}"),
                gcp.monitoring.NotificationChannelArgs(
                    display_name=f"{env.config.name} {env.stack}: {address}",
                    type="email",
                    labels={"email_address": address},
                    user_labels=env.labels,
                ),
                pulumi.ResourceOptions(parent=self),
            ).name
            for address in env.config.monitoring.emails
        ]
        self.register_outputs({})
