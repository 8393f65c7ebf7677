"""The canary of the demo is seen by its own people and by nobody else; whoever shows its mark fails this."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import models
from django.test import Client

from accounts.models import StaffUser
from accounts.tenancy import BrandOwned, brand_scope
from common.clock import now
from console.site import site
from demo.canary import CODE, MARK, OWNER, PEOPLE, SLUG, plant_canary
from members.models import Member

PATHS = sorted(f"{model._meta.app_label}/{model._meta.model_name}/" for model in site._registry)
SEARCHES = ("members/member/?q=哨兵", "inbox/", "")  # the beginning of the mark: a page repeats what was looked for


@pytest.fixture
def canary(db):
    return plant_canary(now())


def pages_with_the_mark(client, slug):
    """Give the pages on which it is read, beside the number of pages that answered."""
    answered, seen = 0, set()
    for path in (*PATHS, *SEARCHES):
        answer = client.get(f"/b/{slug}/{path}", follow=True)
        answered += answer.status_code == 200
        page = b"".join(answer.streaming_content) if answer.streaming else answer.content
        words = page.decode(errors="ignore")
        if answer.status_code == 200 and (MARK in words or f"{CODE}0" in words):
            seen.add(path)
    return answered, seen


def test_the_mark_is_on_its_own_pages_and_on_no_page_of_another_brand(canary, as_owner, ours):
    own = Client()
    own.force_login(StaffUser.objects.get(username=OWNER), backend="django.contrib.auth.backends.ModelBackend")
    answered, seen = pages_with_the_mark(own, SLUG)
    assert len(seen) > 10, (answered, seen)
    answered, seen = pages_with_the_mark(as_owner, "lanyu")
    assert answered > 20
    assert seen == set()


def test_no_row_of_another_brand_holds_the_mark(canary, ours):
    def holding():
        found = set()
        for model in apps.get_models():
            if not issubclass(model, BrandOwned):
                continue
            for each in model._meta.get_fields():
                if isinstance(each, models.CharField | models.TextField) and type(each) in (
                    models.CharField,
                    models.TextField,
                ):
                    for mark in (MARK, CODE):
                        if model.objects.filter(**{f"{each.name}__contains": mark}).exists():
                            found.add(f"{model._meta.label}.{each.name}")
        return found

    with brand_scope(canary.pk):
        assert len(holding()) > 20
        assert Member.objects.filter(name__contains=MARK).count() == PEOPLE
    with brand_scope(ours.brand.pk):
        assert holding() == set()


def test_planting_it_again_changes_nothing(canary):
    assert plant_canary(now()).pk == canary.pk
    with brand_scope(canary.pk):
        assert Member.objects.count() == PEOPLE
