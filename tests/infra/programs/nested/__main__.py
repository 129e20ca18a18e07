"""Components three deep, with a secret, unknowns, options and a question to the cloud."""

import pulumi
import pulumi_gcp as gcp

settings = pulumi.Config()
password = settings.require_secret("password")
guarded = settings.require_bool("guarded")


class Users(pulumi.ComponentResource):
    def __init__(self, name: str, instance: gcp.sql.DatabaseInstance, opts: pulumi.ResourceOptions) -> None:
        super().__init__("test:database:Users", name, None, opts)
        self.owner = gcp.sql.User(
            "owner", instance=instance.name, password=password, opts=pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs({"owner": self.owner.name})


class Database(pulumi.ComponentResource):
    def __init__(self, name: str, network: gcp.compute.Network, opts: pulumi.ResourceOptions) -> None:
        super().__init__("test:database:Database", name, {"tier": settings.require("tier")}, opts)
        self.instance = gcp.sql.DatabaseInstance(
            "primary",
            name="primary",
            database_version="POSTGRES_17",
            region="us-central1",
            settings=gcp.sql.DatabaseInstanceSettingsArgs(
                tier=settings.require("tier"),
                disk_size=settings.require_object("disk")["size"],
                ip_configuration=gcp.sql.DatabaseInstanceSettingsIpConfigurationArgs(private_network=network.self_link),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=guarded,
                depends_on=[network],
                ignore_changes=["settings.diskSize"],
                replace_on_changes=["databaseVersion"],
                custom_timeouts=pulumi.CustomTimeouts(create="60m"),
                aliases=[pulumi.Alias(name="main")],
            ),
        )
        self.users = Users("users", self.instance, pulumi.ResourceOptions(parent=self))
        self.register_outputs({"connection": self.instance.connection_name})


class Platform(pulumi.ComponentResource):
    def __init__(self, name: str) -> None:
        super().__init__("test:platform:Platform", name)
        self.network = gcp.compute.Network(
            "network", name="network", auto_create_subnetworks=False, opts=pulumi.ResourceOptions(parent=self)
        )
        self.database = Database("database", self.network, pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


platform = Platform("platform")
account = gcp.serviceaccount.Account("api", account_id="api")
gcp.projects.IAMMember(
    "api-connects",
    project="p",
    role="roles/cloudsql.client",
    member=account.email.apply(lambda e: f"serviceAccount:{e}"),
)
gcp.secretmanager.SecretVersion(
    "url",
    secret="projects/p/secrets/url",
    secret_data=pulumi.Output.concat(
        "postgresql://owner:", password, "@", platform.database.instance.private_ip_address
    ),
)
gcp.cloudrunv2.Service(
    "api",
    name="api",
    location="us-central1",
    template={"containers": [{"image": "api", "envs": [{"name": "PASSWORD", "value": password.apply(str.upper)}]}]},
)
number = gcp.organizations.get_project_output(project_id="p").number
gcp.storage.Bucket("exports", name="exports", location="US-EAST1", labels={"number": number})
gcp.storage.Bucket.get("state", "state-of-holdfast")
pulumi.export("connection", platform.database.instance.connection_name)
pulumi.export("password", password)
