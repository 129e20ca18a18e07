"""Every operation under calls that the OpenAPI document allows and forbids, invented from the document itself."""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import Case
from schemathesis.checks import CHECKS
from schemathesis.config import (
    AnalysisConfig,
    ConstantsConfig,
    ExtraDataSourcesConfig,
    FuzzingPhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
    StatefulPhaseConfig,
)

from runbooks.reference.files import OPENAPI, ROOT
from runtime.platform.idempotency import HEADER as IDEMPOTENCY_KEY
from tests.conftest import TestDatabase
from tests.runtime.api.example_rows import SUBJECT, put_back
from tests.runtime.api.serving import serving

# Random calls of an operation, beside one at each limit of each of its fields.
CALLS = int(os.environ.get("FUZZ_CALLS", "10"))

_CONFIG = SchemathesisConfig(
    seed=1,
    projects=ProjectsConfig(
        default=ProjectConfig(
            generation=GenerationConfig(
                max_examples=CALLS,
                deterministic=True,
                database="none",
                # Every call has the key; that it is asked for is one of the checks.
                with_security_parameters=False,
            ),
            # Nothing is learned from one operation for another: a test is the same, whichever worker runs it.
            phases=PhasesConfig(
                fuzzing=FuzzingPhaseConfig(extra_data_sources=ExtraDataSourcesConfig(responses=False)),
                stateful=StatefulPhaseConfig(enabled=False),
            ),
            analysis=AnalysisConfig(constants=ConstantsConfig(enabled=False)),
        )
    ),
)
schema = schemathesis.openapi.from_path(ROOT / OPENAPI, config=_CONFIG)


@dataclass(frozen=True)
class Api:
    """An API on the examples' rows, and a key that may do everything."""

    url: str
    session: requests.Session
    key: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def headers(self, case: Case) -> dict[str, str]:
        """The key; and, since an Idempotency-Key is good for one body, another one in place of the example's."""
        of_example = {IDEMPOTENCY_KEY: f"call {next(self.numbers)}"} if _has_the_examples_key(case) else {}
        return {"X-API-Key": self.key, **of_example}


@pytest.fixture
def api(database: TestDatabase, make_key: Callable[..., str]) -> Iterator[Api]:
    engine = database.engine()
    with engine.begin() as connection:
        put_back(connection)
    engine.dispose()
    with serving(database) as url, requests.Session() as session:
        yield Api(url, session, make_key(subject=SUBJECT))


def test_the_document_is_valid_openapi() -> None:
    schema.validate()


@schema.parametrize()
# What was called before is part of the attack, so all calls of an operation meet one API.
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_an_operation_answers_whatever_comes_as_documented(case: Case, api: Api) -> None:
    case.call_and_validate(
        base_url=api.url,
        session=api.session,
        headers=api.headers(case),
        excluded_checks=[CHECKS.get_one(name) for name in _not_for(case)],
    )


def _not_for(case: Case) -> Iterator[str]:
    # A schema cannot say that two fields belong together, or that an id must exist: that is a 422.
    yield "positive_data_acceptance"
    if not any(status.startswith("2") for status in case.operation.definition.raw["responses"]):
        # All that it says is that it is not built yet.
        yield "not_a_server_error"
    if any(
        path != case.path and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), case.path)
        for path in schema.raw_schema["paths"]
    ):
        # As GET /backfill/start, which is GET /backfill/{job_id} with an id that is none.
        yield "unsupported_method"
        yield "allow_header_conformance"


def _has_the_examples_key(case: Case) -> bool:
    parameters = case.operation.definition.raw.get("parameters", [])
    return any(
        parameter["name"] == IDEMPOTENCY_KEY and (case.headers or {}).get(IDEMPOTENCY_KEY) == parameter["example"]
        for parameter in parameters
    )
