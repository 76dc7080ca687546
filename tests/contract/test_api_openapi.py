"""The OpenAPI document is true: made from the dispatch table, and the running hub keeps to it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import msgspec
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


def described(served: Live, mode: GenerationMode) -> schemathesis.BaseSchema:
    """The document; for wrong requests without what is not the point: the credential and the key in a header."""
    response = urlopen(f"{served.url}/openapi.json")  # noqa: S310 - our own server
    document = msgspec.json.decode(response.read())
    if mode is GenerationMode.NEGATIVE:
        del document["security"], document["components"]["securitySchemes"]
        for item in document["paths"].values():
            for operation in item.values():
                kept = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == "path"]
                operation["parameters"] = kept
    return schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", operations())
def test_the_running_hub_keeps_to_the_document(served: Live, name: str, mode: GenerationMode) -> None:
    method, path = name.split()
    operation = described(served, mode)[path][method]
    token = served.token("tester", *Scope, kind=Kind.PERSON)
    wrong = mode is GenerationMode.NEGATIVE
    if wrong and not operation.body:
        return  # wrong parameters have tests of their own: a wrong one can look right once it is in a URL
    found = [*ALWAYS, checks.negative_data_rejection] if wrong else ALWAYS

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def keeps(case: schemathesis.Case) -> None:
        response = case.call(base_url=served.url, headers={"Authorization": f"Bearer {token}"})
        case.validate_response(response, checks=found)

    keeps()


def test_the_page_lists_the_paths_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/http-api.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([A-Z]+)` \| `(/[^`]*)` \|", page, re.MULTILINE)) == set(PATHS)


@run
async def test_the_page_lists_the_measures_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/http-api.md").read_text("utf-8")
    table = page.partition("## Measures")[2]
    named = set(re.findall(r"`([a-z_]+)(?:\{[a-z,]+\})?`", table)) - {"crossfade_"}
    async with Web(open_loopback=True) as web:
        text = (await web.get("/metrics")).text
    of_any_process = {name for name in named if name.startswith("process_")}
    ours = {f"crossfade_{name}" for name in named - of_any_process}
    there = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert there == (ours | of_any_process if sys.platform == "linux" else ours)
