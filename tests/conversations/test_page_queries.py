"""Pages of this app ask as often for three rows as for one."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from conversations.models import (
    Dialogue,
    DialogueRun,
    DialogueVersion,
    MenuVersion,
    ReplyRecord,
    ReplyRule,
    Suggestion,
    TagMenu,
    UnmatchedPhrase,
)
from conversations.services.phrases import week_of
from tests.factories import AT, make_account, make_follower, make_tag

pytestmark = pytest.mark.django_db

PAGES = [
    "replyrule/",
    "replyrule/?try=几点&try_kind=KEYWORD",
    "replyrule/?try=&try_kind=FOLLOW",
    "replyrecord/",
    "dialogue/",
    "unmatched/",
    "menu/",
]


def asked(client, path):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/b/lanyu/conversations/{path}").status_code == 200
    return [query["sql"] for query in queries.captured_queries]


def add(ours, number):
    follower = make_follower(ours.account)
    tag = make_tag(f"澜签{number}", sync=True)
    for audience in ("tag", ""):
        row = ReplyRule.objects.create(
            account=ours.account, name=f"澜{audience}{number}", trigger="KEYWORD", keywords=["几点"], text="x", updated_at=AT,
            audience_kind=audience, audience_id=tag.pk if audience else None,
        )  # fmt: skip
    ReplyRecord.objects.create(
        account=ours.account, follower=follower, rule=row, push_id=1000 + number, trigger="KEYWORD", way="PASSIVE",
        why="IN_TIME", at=AT,
    )  # fmt: skip
    steps = [{"key": "1", "kind": "ASK", "text": "？"}]
    made = Dialogue.objects.create(
        account=ours.account, name=f"澜话{number}", keywords=[f"w{number}"], draft=steps, updated_at=AT
    )
    version = DialogueVersion.objects.create(dialogue=made, number=1, steps=steps, published_at=AT)
    DialogueRun.objects.create(version=version, follower=follower, step="1", started_at=AT, updated_at=AT)
    Suggestion.objects.create(account=ours.account, week=AT.date(), keyword=f"词{number}", count=3, examples=["词"])
    UnmatchedPhrase.objects.create(account=ours.account, week=week_of(AT), text=f"话{number}", count=1, last_at=AT)
    TagMenu.objects.create(account=ours.account, tag=tag, draft=[{"name": "x", "type": "click", "key": "k"}])
    MenuVersion.objects.create(account=ours.account, number=number, buttons=[], published_at=AT)


@pytest.mark.parametrize("path", PAGES)
def test_page_asks_as_often_for_three_rows_as_for_one(as_owner, ours, path):
    with brand_scope(ours.brand.pk):
        add(ours, 1)
        make_account("澜二号")
    asked(as_owner, path)
    one = asked(as_owner, path)
    with brand_scope(ours.brand.pk):
        add(ours, 2)
        add(ours, 3)
    three = asked(as_owner, path)
    assert len(three) == len(one), "\n".join(three)
    assert len(three) <= 40
