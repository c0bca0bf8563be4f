"""``/openapi.json``: the parts of all resources in one document.

A part is ``openapi/<resource>.json``: an object with ``paths`` and, where it needs them, ``schemas``. Answers may refer
to ``#/components/responses/BadRequest``, ``NotFound`` and ``NotModified``, which stand here.
"""

import json
from collections.abc import Collection
from importlib import resources
from typing import Any, Final

_ERROR: Final = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "integer"}, "message": {"type": "string"}},
}


def description(routes: Collection[str]) -> dict[str, Any]:
    """OpenAPI 3.1 of those of the described paths that are among ``routes``.

    Raises:
        ValueError: two parts describe one path or one schema.
    """
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Error": _ERROR}
    folder = resources.files("dashboard") / "api" / "openapi"
    for file in sorted(folder.iterdir(), key=lambda found: found.name):
        part = json.loads(file.read_text(encoding="utf-8"))
        for known, told in ((paths, part["paths"]), (schemas, part.get("schemas", {}))):
            if twice := known.keys() & told.keys():
                raise ValueError(f"{file.name} describes again: {', '.join(sorted(twice))}")
            known.update(told)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dashboard",
            "version": "1",
            "description": "What the dashboard's pages show, as JSON. It only reads.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {path: item for path, item in paths.items() if path in routes},
        "components": {
            "schemas": schemas,
            "responses": {
                "BadRequest": _refused("A parameter is unknown, given twice, or out of its range."),
                "NotFound": _refused("There is no such thing."),
                "NotModified": {"description": "The browser has this answer already."},
            },
        },
    }


def _refused(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
