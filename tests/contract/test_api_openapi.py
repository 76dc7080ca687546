"""The OpenAPI document is true: made from the dispatch table, and the running hub keeps to it."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from crossfade.core.values import Kind, Scope
from crossfade.engine.limits import Limits
from crossfade.inbound.app import PATHS
from tests.kit.http import Live, Web, live
from tests.kit.hub import run

EXAMPLES = 12
"""For each operation and mode; the nightly run raises it."""
ALWAYS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
HELD = {"/v1/stream"}
"""Never ends by itself, so it has tests of its own."""


@pytest.fixture(scope="module")
def served() -> Iterator[Live]:
    with live(Limits(wait_seconds_max=0.01), open_loopback=False) as hub:
        yield hub


@run
async def test_the_document_has_every_route_and_nothing_else() -> None:
    async with Web() as web:
        document = (await web.get("/openapi.json")).json
        described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
        assert described == set(PATHS)
        assert document["openapi"].startswith("3.1")
        names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
        assert len(names) == len(set(names))


@run
async def test_every_route_that_is_described_is_dispatched() -> None:
    async with Web() as web:
        for method, path in PATHS:
            answer = await web.begin(method, path.replace("{", "").replace("}", "")).answer()
            assert answer.status not in {404, 405}, path


def operations() -> list[str]:
    return [f"{method} {path}" for method, path in PATHS if path not in HELD]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", operations())
def test_the_running_hub_keeps_to_the_document(served: Live, name: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    method, path = name.split()
    operation = schema[path][method]
    token = served.token("tester", *Scope, kind=Kind.PERSON)
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return  # nothing that could be wrong
    found = [*ALWAYS, checks.negative_data_rejection] if mode is GenerationMode.NEGATIVE else ALWAYS

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def keeps(case: schemathesis.Case) -> None:
        response = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(response, checks=found)

    keeps()
