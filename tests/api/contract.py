"""Holds every answer against the API description: its status must be declared, its keys exactly the declared ones."""

import functools
import re

import jsonschema
from drf_spectacular.generators import SchemaGenerator


@functools.cache
def description():
    return SchemaGenerator().get_schema(request=None, public=True)


@functools.cache
def _templates():
    found = []
    for template in description()["paths"]:
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        found.append((re.compile(pattern + r"\Z"), template))
    # The more words a template has, the more it says: /stores/nearby/ before /stores/{code}/.
    return sorted(found, key=lambda pair: pair[1].count("{"))


@functools.cache
def _template(path):
    return next((template for pattern, template in _templates() if pattern.match(path)), None)


def strict(node):
    """The schema with references resolved, null spelled out, and no key beyond the declared ones."""
    if "$ref" in node:
        return strict(description()["components"]["schemas"][node["$ref"].rsplit("/", 1)[1]])
    if "allOf" in node and len(node["allOf"]) == 1:
        made = strict(node["allOf"][0])
    elif "oneOf" in node:
        made = {"anyOf": [strict(each) for each in node["oneOf"]]}
    else:
        made = {key: value for key, value in node.items() if key in ("type", "format", "pattern", "enum")}
        if node.get("type") == "object" and "properties" in node:
            made["properties"] = {name: strict(each) for name, each in node["properties"].items()}
            made["required"] = sorted(made["properties"])
            made["additionalProperties"] = False
        if node.get("type") == "array":
            made["items"] = strict(node["items"])
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") else made


@functools.cache
def _validator(template, method, status):
    """What the answer is held against, made once: making it costs fifty times as much as an answer's check."""
    content = description()["paths"][template][method]["responses"][status]["content"]
    schema = strict(content["application/json"]["schema"])
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema, format_checker=jsonschema.FormatChecker())


def check(path, method, response):
    template = _template(path)
    declared = template and description()["paths"][template].get(method.lower())
    if declared is None or response.status_code == 405:
        return
    status = str(response.status_code)
    assert status in declared["responses"], f"{method} {path} answered {status}, which is not declared"
    if declared["responses"][status].get("content") is None:
        assert response.content == b""
        return
    if "application/json" not in declared["responses"][status]["content"]:  # a file
        assert response["Content-Type"].partition(";")[0] in declared["responses"][status]["content"]
        return
    error = jsonschema.exceptions.best_match(_validator(template, method.lower(), status).iter_errors(response.json()))
    if error is not None:
        raise error
