"""Service accounts, one a duty, and what they and the operators may do in the project."""

import pulumi
import pulumi_gcp as gcp

from infra import grants
from infra.duties import Duty
from infra.environment import Environment

DESCRIPTIONS = {
    Duty.API: "Answers requests.",
    Duty.MIGRATE: "Changes the schema before a release.",
    Duty.JOBS: "Does the daily work in the database.",
    Duty.VERIFY: "Restores a backup and looks whether it is whole.",
    Duty.SCHEDULE: "Starts jobs and calls routes; it may do nothing else.",
}
DOMAIN = ".gserviceaccount.com"


class Identity(pulumi.ComponentResource):
    """Accounts, roles and grants of the project.

    Attributes:
        secret_keeper: the role that operators have on each secret that a procedure reads or changes.
    """

    def __init__(self, env: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Identity", env.name("identity"), None, opts)
        self._env = env
        self._roles: dict[str, gcp.projects.IAMCustomRole] = {}
        self._accounts = {duty: self._account(duty) for duty in Duty}
        for grant in grants.grants(env.config):
            self._give(grant)
        self.secret_keeper: pulumi.Output[str] = self._role(grants.SECRET_KEEPER).name
        for member in env.config.access.operators:
            gcp.serviceaccount.IAMMember(
                env.name(f"act-as-api-{member}"),
                gcp.serviceaccount.IAMMemberArgs(
                    service_account_id=self.account(Duty.API).name, role=grants.ACT_AS, member=member
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})

    def account(self, duty: Duty) -> gcp.serviceaccount.Account:
        """The account of a duty."""
        return self._accounts[duty]

    def email(self, duty: Duty) -> pulumi.Output[str]:
        """Its address."""
        return self.account(duty).email

    def member(self, duty: Duty) -> pulumi.Output[str]:
        """Its name in a policy: serviceAccount:ADDRESS."""
        return self.account(duty).member

    def database_user(self, duty: Duty) -> pulumi.Output[str]:
        """Its name in the database: https://cloud.google.com/sql/docs/postgres/iam-logins."""
        return self.email(duty).apply(_without_domain)

    def _account(self, duty: Duty) -> gcp.serviceaccount.Account:
        name = self._env.name(duty)
        return gcp.serviceaccount.Account(
            name,
            gcp.serviceaccount.AccountArgs(account_id=name, display_name=name, description=DESCRIPTIONS[duty]),
            pulumi.ResourceOptions(parent=self),
        )

    def _give(self, grant: grants.Grant) -> None:
        role, short = self._named(grant.role)
        condition = (
            gcp.projects.IAMMemberConditionArgs(title=grant.condition.title, expression=grant.condition.expression)
            if grant.condition
            else None
        )
        for who, member in self._members(grant.who):
            gcp.projects.IAMMember(
                self._env.name(f"{who}-{short}"),
                gcp.projects.IAMMemberArgs(
                    project=self._env.config.project, role=role, member=member, condition=condition
                ),
                pulumi.ResourceOptions(parent=self),
            )

    def _named(self, role: str | grants.Role) -> tuple[pulumi.Input[str], str]:
        """A role's name in a policy, and its short one."""
        if isinstance(role, grants.Role):
            return self._role(role).name, role.name
        return role, role.removeprefix("roles/")

    def _members(self, who: grants.Who) -> list[tuple[str, pulumi.Input[str]]]:
        if isinstance(who, Duty):
            return [(who, self.member(who))]
        return [(member, member) for member in self._env.config.access.operators]

    def _role(self, role: grants.Role) -> gcp.projects.IAMCustomRole:
        if role.name not in self._roles:
            self._roles[role.name] = gcp.projects.IAMCustomRole(
                self._env.name(role.name),
                gcp.projects.IAMCustomRoleArgs(
                    # An id has no hyphens.
                    role_id=self._env.name(role.name).replace("-", "_"),
                    title=role.title,
                    permissions=list(role.permissions),
                ),
                pulumi.ResourceOptions(parent=self),
            )
        return self._roles[role.name]


def _without_domain(email: str) -> str:
    return email.removesuffix(DOMAIN)
