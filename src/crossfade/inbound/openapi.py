"""The OpenAPI 3.1 document, made from the table that dispatches and the Structs that decode.

Nothing here is written by hand that could drift: paths, methods, parameters, bodies and answers are read
from the routes. ``Raw`` fields (JSON handed through unread) and defaults that JSON cannot carry are
rewritten before msgspec makes the schemas.

Source: OpenAPI 3.1.1; JSON Schema 2020-12.
"""

import types
import typing
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, UnsetType
from msgspec.inspect import type_info

from crossfade.inbound.api.routes import AnyRoute, Nothing
from crossfade.inbound.errors import Failure

Node = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
ALWAYS: Final = {
    400: "The request cannot be read: bad JSON, a bad parameter, a bad cursor.",
    401: "No credential, or one that is unknown, expired or revoked.",
    403: "The credential does not allow it, or the web page may not call the hub.",
    421: "The hub is not called that.",
    429: "A limit was reached; `Retry-After` says when to come back.",
    503: "The log cannot take writes; the same key again is safe.",
}
BODY: Final = {
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "Understood, but not possible.",
}
BY_STATUS: Final = {
    403: "Not the caller's to do.",
    404: "There is no such thing.",
    409: "It is not in the state for that, or somebody was first.",
    410: "The polling lane was removed; use the inbox or the stream.",
    422: "Understood, but not possible.",
}


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """A path outside the API's table: what it gives and to whom."""

    method: str
    path: str
    name: str
    summary: str
    media: str
    credential: bool
    query: type[msgspec.Struct] = Nothing
    statuses: tuple[int, ...] = ()


def document(version: str, routes: Iterable[AnyRoute], plain: Iterable[Plain]) -> Node:
    """The whole document, ready for JSON."""
    routes = tuple(routes)
    mirrors: dict[type, type] = {}
    named = {_mirror(model, mirrors) for route in routes for model in (route.gives, route.body) if model is not Nothing}
    named.add(_mirror(Failure, mirrors))
    _, components = msgspec.json.schema_components(sorted(named, key=lambda model: model.__name__), ref_template=REF)
    for component in components.values():
        for node in component.get("properties", {}).values():
            if node.get("default", ...) is None:
                del node["default"]  # null stands for "left out", which not every field may say
    paths: dict[str, Node] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    for path in plain:
        paths.setdefault(path.path, {})[path.method.lower()] = _plain(path)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Crossfade",
            "version": version,
            "summary": "Agents and people ask each other questions with a shape, a deadline and one end.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: AnyRoute) -> Node:
    operation: Node = {"operationId": route.name, "summary": route.summary, "tags": [route.path.split("/")[2]]}
    parameters = _path_parameters(route.path) + _parameters(route.query)
    if route.method == "POST":
        parameters.append(_KEY)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not Nothing:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    operation["responses"] = _responses(route)
    if route.grants:
        operation["description"] = "Needs scope " + " or ".join(sorted(route.grants)) + "."
    return operation


def _responses(route: AnyRoute) -> Node:
    takes = BODY if route.method != "GET" else {}
    failures = {**ALWAYS, **takes, **{status: BY_STATUS[status] for status in route.refuses}}
    responses: Node = {str(route.status): {"description": "Done.", "content": _content(route.gives)}}
    for status, description in sorted(failures.items()):
        responses[str(status)] = {"description": description, "content": _content(Failure)}
    return responses


def _plain(path: Plain) -> Node:
    operation: Node = {
        "operationId": path.name,
        "summary": path.summary,
        "tags": ["hub"],
        "responses": {"200": {"description": "Done.", "content": {path.media: {"schema": {}}}}},
    }
    for status in (421, 403, *path.statuses, *((401,) if path.credential else ())):
        content = {path.media: {"schema": {}}} if path.name == "readyz" and status == 503 else _content(Failure)
        operation["responses"][str(status)] = {"description": ALWAYS[status], "content": content}
    if not path.credential:
        operation["security"] = []
    parameters = _parameters(path.query)
    if parameters:
        operation["parameters"] = parameters
    return operation


def _content(model: type) -> Node:
    return {"application/json": {"schema": {"$ref": REF.format(name=model.__name__)}}}


_KEY: Final[Node] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key again gets the first result again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!#-~]+$"},
}


def _path_parameters(path: str) -> list[Node]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    schema = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._-]+$"}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _parameters(model: type[msgspec.Struct]) -> list[Node]:
    if not msgspec.structs.fields(model):
        return []
    schema = msgspec.json.schema_components([_mirror(model, {})], ref_template=REF)[1][model.__name__]
    found = []
    for name, node in schema["properties"].items():
        description = {"description": node.pop("description")} if "description" in node else {}
        found.append({"name": name, "in": "query", "required": False, **description, "schema": node})
    return found


# --- what msgspec's schemas cannot say --------------------------------------------------------------


def _mirror(model: type, mirrors: dict[type, type]) -> type:
    """A copy of a Struct whose Raw fields are objects and whose defaults are plain JSON."""
    if model in mirrors:
        return mirrors[model]
    hints = typing.get_type_hints(model, include_extras=True)
    fields: list[Any] = []
    rename = {}
    for field in msgspec.structs.fields(model):
        rename[field.name] = field.encode_name
        annotation = _plain_type(hints[field.name], mirrors)
        default = _plain_default(field)
        fields.append((field.name, annotation) if default is NODEFAULT else (field.name, annotation, default))
    config = model.__struct_config__  # type: ignore[attr-defined]
    copy = msgspec.defstruct(
        model.__name__,
        fields,
        kw_only=True,
        rename=rename,
        forbid_unknown_fields=config.forbid_unknown_fields,
        namespace={"__doc__": model.__doc__},
    )
    mirrors[model] = copy
    return copy


def _plain_default(field: msgspec.structs.FieldInfo) -> object:
    default = field.default
    if field.default_factory is not NODEFAULT:
        default = field.default_factory()
    if isinstance(default, msgspec.Raw):
        return None if not bytes(default) else msgspec.json.decode(default)
    return None if default is UNSET else default


def _plain_type(annotation: Any, mirrors: dict[type, type]) -> Any:
    if annotation is msgspec.Raw:
        return Any
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _mirror(annotation, mirrors)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_plain_type(parts[0], mirrors), *parts[1:])]
    if origin in (types.UnionType, typing.Union):
        kept = (_plain_type(part, mirrors) for part in parts if part is not UnsetType)
        return reduce(or_, kept)
    if origin in (list, tuple, dict):
        return origin[tuple(part if part is ... else _plain_type(part, mirrors) for part in parts)]
    type_info(annotation)
    return annotation
