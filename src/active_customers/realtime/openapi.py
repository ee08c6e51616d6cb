"""Pieces of the OpenAPI document for routes that parse their own input, and replies as Starlette's responses."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from active_customers.core.event import Word
from active_customers.realtime.problems import Reply
from active_customers.realtime.schemas import Problem

REF = "#/components/schemas/{model}"
_REPLIES: dict[str, str] = {
    "400": "A value is not valid; `field` and `remedy` say which and what to do",
    "401": "No valid API key",
    "403": "The API key's scope is too small",
    "503": "Overloaded or unavailable; try again after `Retry-After` seconds",
}


STORING = (("413", "The body is over 1 MiB"), ("507", "The disk is full"))
"""What may keep a route from storing what it was sent."""


def response_of(reply: Reply) -> Response:
    """Return a reply as Starlette's response."""
    response = Response(reply.body, reply.status)
    response.raw_headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
    return response


def document(content: dict[str, Any]) -> Response:
    """Return a JSON document that nobody may keep."""
    return Response(orjson.dumps(content), media_type="application/json", headers={"cache-control": "no-store"})


def answering(model: type[BaseModel], *more: tuple[str, str]) -> dict[str, Any]:
    """Return what describes a route that answers with a model, or with problems, those of `more` too."""
    answer = {"description": "Done", "content": json_of(ref(model))}
    return {"responses": {"200": answer, **problems(*more)}}


def taking(body: type[BaseModel], model: type[BaseModel], *more: tuple[str, str]) -> dict[str, Any]:
    """Return what describes a route that stores what it is sent."""
    content = {"required": True, "content": json_of(ref(body))}
    return {"requestBody": content, **answering(model, *STORING, *more)}


def json_of(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    """Return content of a schema."""
    return {media: {"schema": schema}}


def ref(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of a model."""
    return {"$ref": REF.format(model=model.__name__)}


def problems(*more: tuple[str, str]) -> dict[str, Any]:
    """Return the problem documents that any route may answer with, and more, by status."""
    content = json_of(ref(Problem), "application/problem+json")
    return {status: {"description": text, "content": content} for status, text in [*_REPLIES.items(), *more]}


def told(found: dict[str, Any], *statuses: str) -> dict[int | str, dict[str, Any]]:
    """Return some of the problem documents (all, without `statuses`) as FastAPI takes them."""
    return {int(status): found[status] for status in statuses or found}


def parameters_of(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the fields of a model as query parameters; defaults that are words stand as such."""
    schema = model.model_json_schema()
    for name, field in schema["properties"].items():
        default = model.model_fields[name].default
        if isinstance(default, Word):
            field["default"] = default.word
        elif default == "":
            del field["default"]
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "description": field.pop("description", ""),
            "schema": {key: value for key, value in field.items() if key != "title"},
        }
        for name, field in schema["properties"].items()
    ]
