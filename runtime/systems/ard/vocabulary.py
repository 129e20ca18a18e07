"""The words that ARD's columns may hold, for the models, the schemas and the router alike."""

from enum import StrEnum


class ExperimentStatus(StrEnum):
    """Of an experiment or an optimisation run."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Method(StrEnum):
    """How a campaign chooses its next experiment."""

    BAYESIAN_OPTIMIZATION = "bayesian_optimization"
    REINFORCEMENT_LEARNING = "reinforcement_learning"
    ADAPTIVE_ROUTER = "adaptive_router"
    RANDOM_SEARCH = "random_search"
    GRID_SEARCH = "grid_search"
    OTHER = "other"


class Objective(StrEnum):
    """What a campaign does to its experiments' result_value."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class NoiseMethod(StrEnum):
    """How measurement noise is estimated."""

    REPLICATE_POOLED = "replicate_pooled"
    RESIDUALS = "residuals"
    SEQUENTIAL = "sequential"


class ModelTier(StrEnum):
    """Which of the two models' answers was used."""

    FLASH = "flash"
    PRO = "pro"
