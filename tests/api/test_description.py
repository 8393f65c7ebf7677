"""The API description: valid, without warnings, complete, and shown without asking another host."""

import re

from django.core.management import call_command
from django.test import Client

from accounts.models import Brand
from accounts.rest.scopes import SCOPES
from config.urls_api import v1
from tests.api.contract import description

LINK = re.compile(r"""(?:src|href)=["']([^"']+)["']""")


def operations():
    return [
        (path, method, operation)
        for path, methods in description()["paths"].items()
        for method, operation in methods.items()
    ]


def test_description_is_valid_and_has_no_warnings(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_every_address_is_described():
    written = {re.sub(r"<str:(\w+)>", r"{\1}", f"/api/v1/{each.pattern}") for each in v1}

    assert written == set(description()["paths"])
    assert description()["openapi"] == "3.0.3"


def test_every_operation_has_words_errors_and_an_example():
    for path, method, operation in operations():
        where = f"{method} {path}"
        assert operation["summary"], where
        assert {"503"} <= set(operation["responses"]), where
        if operation.get("security"):
            assert {"401", "403", "429"} <= set(operation["responses"]), where
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= set(operation["responses"]), where
            assert all("examples" in sent for sent in operation["requestBody"]["content"].values()), where
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, (
                    where
                )
                assert answer["content"]["application/json"]["examples"], where


def test_every_field_has_words():
    for name, schema in description()["components"]["schemas"].items():
        for field, shape in schema.get("properties", {}).items():
            described = shape.get("description") or "$ref" in shape or "allOf" in shape or "items" in shape
            assert described, f"{name}.{field}"


def test_scopes_that_are_named_exist():
    named = set(re.findall(r"scope `([a-z.]+)`", str(description())))

    assert named == set(SCOPES)


def test_description_names_no_brand(db):
    Brand.objects.create(slug="lanyu", name="澜屿")

    answer = Client().get("/api/schema/", HTTP_ACCEPT="application/json")

    assert answer.status_code == 200
    assert "澜屿" not in answer.content.decode()


def status_of(link):
    answer = Client().get(link)
    answer.close()  # static files come as open files
    return answer.status_code


def test_page_loads_everything_from_here():
    page = Client().get("/api/docs/")
    script = Client().get("/api/docs/?script=")

    links = LINK.findall(page.content.decode())
    assert len(links) >= 4
    assert [link for link in links if not link.startswith(("/static/", "/api/docs/"))] == []
    assert "://" not in page.content.decode() + script.content.decode()
    assert '"validatorUrl": null' in script.content.decode()
    assert {status_of(link) for link in links} == {200}


def test_page_needs_no_script_of_its_own():
    page = Client().get("/api/docs/").content.decode()

    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>\s*\S", page) == []
