"""The OpenAPI document: what it promises of each operation is what the operation does."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.runtime.api.contract import JSON, OPEN, PROBLEM, assert_documented, document_of, faults, operations
from tests.runtime.api.world import DATABASE, make_world


async def test_each_operation_called_rightly_answers_as_documented(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    calls = await make_world(client)
    assert calls.keys() | OPEN == {(method, path) for method, path, _ in operations(document)}
    for method, path, operation in operations(document):
        if (method, path) in OPEN:
            continue
        with subtests.test(f"{method} {path}"):
            call = calls[method, path]
            answer = await call.send(client, method, path)
            assert answer.status_code == call.status, answer.text
            assert_documented(answer, operation, document)
            assert answer.headers["x-request-id"]
            # A list that is empty would fit any schema of its rows.
            assert answer.json().get("count", 1) > 0


async def test_no_job_to_claim_is_an_answer_without_a_body(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    answer = await client.post("/api/v1/monitoring/backfill/claim", json={"worker": "w"})
    assert answer.status_code == 204
    assert_documented(answer, document["paths"]["/api/v1/monitoring/backfill/claim"]["post"], document)


async def test_every_operation_has_an_example_of_its_answer_and_of_its_problems(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    for method, path, operation in operations(document):
        with subtests.test(f"{method} {path}"):
            shown = 0
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    if media_type == PROBLEM:
                        for example in content["examples"].values():
                            assert faults(example["value"], content["schema"], document) == []
                            assert example["value"]["status"] == int(status)
                    else:
                        assert media_type == JSON
                        assert faults(content["example"], content["schema"], document) == []
                        shown += status < "300"
            assert shown == 1


async def test_the_examples_of_fields_fit_them(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    properties: list[tuple[str, dict[str, Any]]] = [
        (f"{name}.{field}", schema)
        for name, model in document["components"]["schemas"].items()
        for field, schema in model.get("properties", {}).items()
    ]
    properties += [
        (f"{path} {parameter['name']}", {**parameter["schema"], "examples": [parameter["example"]]})
        for _, path, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if "example" in parameter
    ]
    wrong = [
        f"{name}: {fault}"
        for name, schema in properties
        for example in schema.get("examples", [])
        for fault in faults(example, schema, document)
    ]
    assert wrong == []


async def test_every_guarded_operation_documents_its_scope_and_its_refusals(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    schemes = document["components"]["securitySchemes"]
    assert (schemes["ApiKey"]["name"], schemes["Bearer"]["scheme"]) == ("X-API-Key", "bearer")
    for method, path, operation in operations(document):
        if (method, path) in OPEN:
            assert "security" not in operation
            continue
        system = "utxoiq" if path.startswith("/api/v1/") else "ard"
        if path.startswith(DATABASE):
            system = "platform"
        verb = "read" if method == "get" else "write"
        assert operation["security"] == [{"ApiKey": [f"{system}:{verb}"]}, {"Bearer": [f"{system}:{verb}"]}]
        for status in ("401", "403", "422", "503"):
            assert list(operation["responses"][status]["content"]) == [PROBLEM], f"{method} {path} {status}"
        assert operation["summary"]


async def test_the_document_is_openapi_3_1_and_open_to_all(make_client: Callable[..., httpx.AsyncClient]) -> None:
    stranger = make_client()
    served = await stranger.get("/openapi.json")
    page = await stranger.get("/docs")
    assert served.json() == document_of(stranger)
    assert served.json()["openapi"].startswith("3.1.")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "/openapi.json" in page.text


async def test_the_documentation_page_takes_nothing_from_other_hosts(
    make_client: Callable[..., httpx.AsyncClient],
) -> None:
    stranger = make_client()
    page = (await stranger.get("/docs")).text
    taken = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(taken) >= 3
    for path in taken:
        assert path.startswith("/docs/assets/"), path
        assert (await stranger.get(path)).status_code == 200, path


async def test_no_reference_of_the_document_leads_nowhere_and_no_schema_is_left_over(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    prefix = "#/components/schemas/"

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"].removeprefix(prefix)} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(references, node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    assert references(document) == set(document["components"]["schemas"])
