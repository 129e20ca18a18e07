"""The budget: somebody is told what a month costs. Nothing is turned off."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment

# At which part of the budget the month's forecast is told.
FORECAST = 1.0


@dataclass(frozen=True)
class BudgetArgs:
    """Who is told.

    Args:
        billing_account: that pays.
        channels: of monitoring, for e-mail; billing's own administrators are told in any case. Google takes five.
    """

    billing_account: str
    channels: Sequence[pulumi.Input[str]]


class Budget(pulumi.ComponentResource):
    """An alert when the project's month has cost a part of the budget, or will cost more than all of it."""

    def __init__(self, env: Environment, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Budget", env.name("budget"), None, opts)
        config = env.config
        # Billing names a project by its number only: by its identifier each preview would show a change.
        project = gcp.organizations.get_project_output(
            project_id=config.project, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        gcp.billing.Budget(
            env.name("budget"),
            gcp.billing.BudgetArgs(
                billing_account=args.billing_account,
                display_name=f"{env.name('budget')} of {config.project}",
                budget_filter=gcp.billing.BudgetBudgetFilterArgs(
                    projects=[pulumi.Output.concat("projects/", project.number)], calendar_period="MONTH"
                ),
                amount=gcp.billing.BudgetAmountArgs(
                    # An account in another currency is refused: 500 of another would be another budget.
                    specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(
                        currency_code="USD", units=str(config.budget.monthly_usd)
                    )
                ),
                threshold_rules=[
                    *(
                        gcp.billing.BudgetThresholdRuleArgs(threshold_percent=part, spend_basis="CURRENT_SPEND")
                        for part in config.budget.thresholds
                    ),
                    gcp.billing.BudgetThresholdRuleArgs(threshold_percent=FORECAST, spend_basis="FORECASTED_SPEND"),
                ],
                all_updates_rule=_updates(args.channels),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _updates(channels: Sequence[pulumi.Input[str]]) -> gcp.billing.BudgetAllUpdatesRuleArgs | None:
    return gcp.billing.BudgetAllUpdatesRuleArgs(monitoring_notification_channels=list(channels)) if channels else None
