"""ARD's requests and answers."""

import datetime as dt
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, StringConstraints, model_validator

from runtime.fields import Count, Identifier, Input, JsonObject, Listed, Name, NewIdentifier, Number, Output, Text
from runtime.systems.ard.vocabulary import ExperimentStatus, Method, ModelTier, NoiseMethod, Objective

ResultUri = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*://[^\s\x00]+$", max_length=512)]
Latency = Annotated[Number, Field(ge=0)]
Measurements = Annotated[list[Number], Field(min_length=2, max_length=1000)]


def refuse_null(model: Input, *names: str) -> None:
    """A column that must have a value can be left alone, but not emptied."""
    for name in names:
        if name in model.model_fields_set and getattr(model, name) is None:
            message = f"{name}: must not be null; leave it out to keep it"
            raise ValueError(message)


class ExperimentCreate(Input):
    """An experiment to record, planned or already finished."""

    id: NewIdentifier | None = Field(default=None, description="Made by the platform when left out.")
    name: Name | None = Field(default=None, description="The id when left out.", examples=["Perovskite synthesis"])
    description: Text | None = None
    status: ExperimentStatus = Field(default=ExperimentStatus.PENDING, examples=["completed"])
    parameters: JsonObject = Field(default_factory=dict, examples=[{"temp": 500, "pressure": 1.0}])
    config: JsonObject = Field(default_factory=dict, examples=[{"method": "xrd", "duration": 60}])
    result_value: Number | None = Field(default=None, examples=[0.85])
    result_data: JsonObject | None = None
    result_uri: ResultUri | None = Field(default=None, examples=["gs://bucket/experiments/exp-123/result.json"])
    optimization_run_id: Identifier | None = Field(default=None, examples=["run-456"])


class ExperimentUpdate(Input):
    """What changes; what is left out stays."""

    name: Name | None = None
    description: Text | None = None
    status: ExperimentStatus | None = Field(default=None, examples=["completed"])
    parameters: JsonObject | None = None
    config: JsonObject | None = None
    result_value: Number | None = Field(default=None, examples=[42.5])
    result_data: JsonObject | None = Field(default=None, examples=[{"peaks": [1.2, 3.4, 5.6]}])
    result_uri: ResultUri | None = None

    @model_validator(mode="after")
    def _keep_required(self) -> Self:
        refuse_null(self, "name", "status", "parameters", "config")
        return self


class ExperimentSummary(Output):
    """An experiment as a list shows it."""

    id: str
    name: str
    status: ExperimentStatus
    parameters: dict[str, Any]
    result_value: float | None
    result_uri: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    created_by: str | None
    optimization_run_id: str | None


class Experiment(ExperimentSummary):
    """An experiment with everything that is known of it."""

    description: str | None
    config: dict[str, Any]
    result_data: dict[str, Any] | None


class RunCreate(Input):
    """A campaign to begin."""

    id: NewIdentifier | None = Field(default=None, description="Made by the platform when left out.")
    name: Name | None = Field(default=None, description="The id when left out.", examples=["Campaign of January"])
    description: Text | None = None
    method: Method = Field(examples=["bayesian_optimization"])
    objective: Objective = Field(examples=["maximize"])
    search_space: JsonObject = Field(default_factory=dict, examples=[{"temp": {"min": 300, "max": 700}}])
    config: JsonObject = Field(default_factory=dict)
    status: ExperimentStatus = ExperimentStatus.PENDING


class RunUpdate(Input):
    """What changes; the counts and the best follow from the experiments."""

    name: Name | None = None
    description: Text | None = None
    search_space: JsonObject | None = None
    config: JsonObject | None = None
    status: ExperimentStatus | None = Field(default=None, examples=["completed"])

    @model_validator(mode="after")
    def _keep_required(self) -> Self:
        refuse_null(self, "name", "status", "search_space", "config")
        return self


class RunSummary(Output):
    """A campaign as a list shows it."""

    id: str
    name: str
    method: Method
    objective: Objective
    num_experiments: int = Field(description="Experiments completed.")
    best_value: float | None
    best_experiment_id: str | None
    status: ExperimentStatus
    created_at: dt.datetime
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    created_by: str | None


class Run(RunSummary):
    """A campaign with everything that is known of it."""

    description: str | None
    search_space: dict[str, Any]
    config: dict[str, Any]


class AiQueryCreate(Input):
    """A question that was put to the models. It is priced when input and output tokens of each answer are known."""

    id: NewIdentifier | None = Field(default=None, description="Made by the platform when left out.")
    query_text: Text = Field(examples=["Design the next experiment to maximise yield"])
    context: JsonObject = Field(default_factory=dict)
    flash_response: JsonObject | None = None
    pro_response: JsonObject | None = None
    selected_model: ModelTier = Field(examples=["flash"])
    flash_latency_ms: Latency | None = Field(default=None, examples=[245.3])
    pro_latency_ms: Latency | None = None
    flash_tokens: Count | None = Field(default=None, description="Input and output together.")
    flash_input_tokens: Count | None = Field(default=None, examples=[1200])
    flash_output_tokens: Count | None = Field(default=None, examples=[350])
    pro_tokens: Count | None = Field(default=None, description="Input and output together.")
    pro_input_tokens: Count | None = None
    pro_output_tokens: Count | None = None
    experiment_id: Identifier | None = None

    @model_validator(mode="after")
    def _tokens_add_up(self) -> Self:
        for tier in ModelTier:
            parts = [getattr(self, f"{tier}_input_tokens"), getattr(self, f"{tier}_output_tokens")]
            total = getattr(self, f"{tier}_tokens")
            if None not in parts and total is not None and sum(parts) != total:
                message = f"{tier}_tokens: is {total}, but input and output tokens make {sum(parts)}"
                raise ValueError(message)
        return self


class AiQuerySummary(Output):
    """A question as a list shows it."""

    id: str
    query_text: str
    selected_model: ModelTier
    flash_latency_ms: float | None
    pro_latency_ms: float | None
    flash_tokens: int | None
    flash_input_tokens: int | None
    flash_output_tokens: int | None
    pro_tokens: int | None
    pro_input_tokens: int | None
    pro_output_tokens: int | None
    estimated_cost_usd: float | None
    cost_known: bool = Field(description="False: tokens were missing, so there is no price rather than a guess.")
    price_version: str | None
    created_at: dt.datetime
    created_by: str | None
    experiment_id: str | None


class AiQuery(AiQuerySummary):
    """A question with its answers."""

    context: dict[str, Any]
    flash_response: dict[str, Any] | None
    pro_response: dict[str, Any] | None


class CostAnalysis(Output):
    """Over all queries that fit the filters, not only the page's."""

    total_queries: int
    flash_queries: int
    pro_queries: int
    total_flash_tokens: int
    total_pro_tokens: int
    estimated_total_cost_usd: float = Field(description="Of the priced queries.")
    unpriced_queries: int = Field(description="Queries whose cost is not known; they are not in the total.")
    avg_flash_latency_ms: float | None
    avg_pro_latency_ms: float | None
    cost_per_query_usd: float | None = Field(description="Per priced query.")


class PilotReplicates(Input):
    """Groups of measurements, each repeated at one setting."""

    replicates: Annotated[
        list[Annotated[list[Number], Field(min_length=1, max_length=1000)]], Field(min_length=1, max_length=1000)
    ]


class PilotCurve(Input):
    """Measurements along one variable."""

    x: Measurements
    y: Measurements
    degree: Annotated[int, Strict(), Field(ge=0, le=8)] = 2


class PilotSequence(Input):
    """Measurements in the order in which they were taken."""

    y: Measurements


class ByReplicates(Input):
    """Noise from replicates: pooled standard deviation."""

    method: Literal["replicate_pooled"]
    pilot_data: PilotReplicates


class ByResiduals(Input):
    """Noise from a curve: residuals of a polynomial."""

    method: Literal["residuals"]
    pilot_data: PilotCurve


class BySequence(Input):
    """Noise from a sequence: first differences."""

    method: Literal["sequential"]
    pilot_data: PilotSequence


Pilot = Annotated[ByReplicates | ByResiduals | BySequence, Field(discriminator="method")]


class NoiseEstimateCreate(Input):
    """Pilot data, from which the platform computes the estimate."""

    id: NewIdentifier | None = Field(default=None, description="Made by the platform when left out.")
    optimization_run_id: Identifier | None = None
    pilot: Pilot = Field(
        examples=[{"method": "replicate_pooled", "pilot_data": {"replicates": [[0.81, 0.84, 0.79], [0.9, 0.93, 0.88]]}}]
    )


class NoiseEstimate(Output):
    """An estimate, with the data that it came from."""

    id: str
    method: NoiseMethod
    noise_std: float
    confidence_interval_lower: float
    confidence_interval_upper: float
    sample_size: int
    reliable: bool = Field(description="At least five degrees of freedom: the interval spans less than a factor of 4.")
    pilot_data: dict[str, Any]
    created_at: dt.datetime
    optimization_run_id: str | None


class RoutingDecisionCreate(Input):
    """What to decide by: a stored noise estimate, or pilot data from which one is made and stored."""

    id: NewIdentifier | None = Field(default=None, description="Made by the platform when left out.")
    optimization_run_id: Identifier | None = Field(default=None, description="The estimate's when left out.")
    noise_estimate_id: Identifier | None = None
    pilot: Pilot | None = Field(default=None, examples=[{"method": "sequential", "pilot_data": {"y": [1.0, 1.2, 0.9]}}])

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.noise_estimate_id is None) == (self.pilot is None):
            message = "noise_estimate_id: give it or pilot, one of the two"
            raise ValueError(message)
        return self


class AlternativeMethod(Output):
    """A method that was not chosen."""

    method: Method
    reason: str


class RoutingDecision(Output):
    """The router's choice."""

    id: str
    selected_method: Method
    confidence: float
    reasoning: str
    threshold_used: float | None = Field(description="The noise limit that decided; null where the noise is not known.")
    alternatives: list[AlternativeMethod]
    warnings: list[str]
    created_at: dt.datetime
    noise_estimate_id: str | None
    optimization_run_id: str | None


class ExperimentList(Listed):
    """Newest first."""

    experiments: list[ExperimentSummary]


class ExperimentDetail(Output):
    """An experiment and the campaign that it belongs to."""

    experiment: Experiment
    optimization_run: Run | None
    status: Literal["success"]


class RunList(Listed):
    """Newest first."""

    runs: list[RunSummary]


class AiQueryList(Listed):
    """Newest first; the analysis when it was asked for."""

    queries: list[AiQuerySummary]
    cost_analysis: CostAnalysis | None = None


class NoiseEstimateList(Listed):
    """Newest first."""

    noise_estimates: list[NoiseEstimate]


class RoutingDecisionList(Listed):
    """Newest first."""

    routing_decisions: list[RoutingDecision]
