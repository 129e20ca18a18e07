"""An alert's conditions, as a policy has them."""

from collections.abc import Sequence
from typing import TypeVar

import pulumi_gcp as gcp

from infra.components.monitoring.names import Names
from infra.monitoring.alert import Alert, BurnRate, LogMatch, Query, Threshold
from infra.monitoring.series import Series

Condition = gcp.monitoring.AlertPolicyConditionArgs
Aggregation = TypeVar(
    "Aggregation",
    gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs,
    gcp.monitoring.AlertPolicyConditionConditionThresholdDenominatorAggregationArgs,
)


def conditions(alert: Alert, names: Names) -> Sequence[Condition]:
    """All of an alert."""
    match alert.conditions:
        case LogMatch() as entry:
            return [_log(alert, entry, names)]
        case Query() as query:
            return [_query(alert, query)]
        case BurnRate() as burn:
            return [_burn(burn, window, names) for window in (burn.window, burn.short_window)]
        case thresholds:
            return [_threshold(one, names) for one in thresholds]


def _threshold(threshold: Threshold, names: Names) -> Condition:
    series, of = threshold.series, threshold.of
    shown = series.metric.rpartition(".com/")[2]
    return Condition(
        display_name=f"{shown} {'below' if threshold.is_below else 'above'} {threshold.value:g}",
        condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
            filter=names.fill(series.filter),
            aggregations=[
                _aggregation(
                    gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs, series, threshold.window
                )
            ],
            denominator_filter=names.fill(of.filter) if of else None,
            denominator_aggregations=[
                _aggregation(
                    gcp.monitoring.AlertPolicyConditionConditionThresholdDenominatorAggregationArgs,
                    of,
                    threshold.window,
                )
            ]
            if of
            else None,
            comparison="COMPARISON_LT" if threshold.is_below else "COMPARISON_GT",
            threshold_value=threshold.value,
            duration=f"{threshold.lasting}s",
            trigger=gcp.monitoring.AlertPolicyConditionConditionThresholdTriggerArgs(count=1),
        ),
    )


def _aggregation(kind: type[Aggregation], series: Series, window: int) -> Aggregation:
    return kind(
        alignment_period=f"{window}s",
        per_series_aligner=series.aligner,
        cross_series_reducer=series.reducer,
        group_by_fields=series.by or None,
    )


def _log(alert: Alert, entry: LogMatch, names: Names) -> Condition:
    return Condition(
        display_name=alert.title,
        condition_matched_log=gcp.monitoring.AlertPolicyConditionConditionMatchedLogArgs(
            filter=names.fill(entry.filter), label_extractors=entry.labels
        ),
    )


def _query(alert: Alert, query: Query) -> Condition:
    return Condition(
        display_name=alert.title,
        condition_prometheus_query_language=gcp.monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
            query=query.promql,
            duration=f"{query.lasting}s",
            evaluation_interval="60s",
            # What it reads may not be known yet, or is asked whether there is any.
            disable_metric_validation=True,
        ),
    )


def _burn(burn: BurnRate, window: int, names: Names) -> Condition:
    return Condition(
        display_name=f"{burn.rate:g} times too fast over {window // 60} min",
        condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
            filter=names.fill(f'select_slo_burn_rate("$slo", "{window}s")'),
            comparison="COMPARISON_GT",
            threshold_value=burn.rate,
            duration="0s",
            trigger=gcp.monitoring.AlertPolicyConditionConditionThresholdTriggerArgs(count=1),
        ),
    )
