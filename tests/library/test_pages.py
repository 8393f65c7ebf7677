"""The library on screen: adding with a clear refusal, copies, uses, room; who may look and who may change."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from library import services
from library.models import CopyState, MediaCopy, MediaItem
from tests.console.conftest import (
    as_guide,
    as_marketer,
    as_owner,
    guide_user,
    marketer,
    ours,
    owner,
    theirs,
)
from tests.factories import AT
from tests.library.conftest import GIF, MP4, PNG, add

__all__ = ["as_guide", "as_marketer", "as_owner", "guide_user", "marketer", "ours", "owner", "theirs"]
pytestmark = pytest.mark.django_db
LIST = "/b/lanyu/library/mediaitem/"
FILE = "/b/lanyu/library/file/"


def page(item):
    return f"{LIST}{item.pk}/change/"


def upload(client, body=PNG, file_name="门口.png", **fields):
    said = SimpleUploadedFile(file_name, body, content_type="text/html")
    return client.post(f"{LIST}add/", {"kind": "IMAGE", "file": said, **fields}, follow=True)


def test_a_picture_is_added_shown_and_handed_out(as_marketer, ours):
    shown = upload(as_marketer).content.decode()
    assert "「门口.png」已加入素材库" in shown
    with brand_scope(ours.brand.pk):
        item = MediaItem.objects.get()
    listed = as_marketer.get(LIST).content.decode()
    assert "门口.png" in listed
    assert "发送时上传" in listed
    assert "0 / 100,000" in listed
    given = as_marketer.get(f"{FILE}{item.pk}/")
    assert (given.content, given["Content-Type"], given["X-Content-Type-Options"]) == (PNG, "image/png", "nosniff")


def test_what_is_not_what_it_says_is_refused_with_what_would_be_taken(as_marketer, ours):
    refused = upload(as_marketer, b"<script>alert(1)</script>", name="活动海报")
    text = refused.content.decode()
    assert refused.status_code == 400
    assert "不是微信接受的「图片」" in text
    assert "PNG, JPEG, GIF · 10 MB" in text
    assert 'value="活动海报"' in text
    missing = as_marketer.post(f"{LIST}add/", {"kind": "VIDEO"}).content.decode()
    assert "文件是空的" in missing
    with brand_scope(ours.brand.pk):
        assert MediaItem.objects.count() == 0


def test_keeping_taking_away_and_putting_away(as_owner, ours):
    with brand_scope(ours.brand.pk):
        item = add(ours.brand)
    asked = as_owner.post(page(item), {"act": "keep", "account": ours.account.pk}, follow=True).content.decode()
    assert "正在上传" in asked
    with brand_scope(ours.brand.pk):
        copy = MediaCopy.objects.get()
        MediaCopy.objects.update(state=CopyState.THERE, media_id="m", due_at=None)
    assert "永久保留" in as_owner.get(page(item)).content.decode()
    refused = as_owner.post(page(item), {"act": "away"}, follow=True).content.decode()
    assert "没有移除" in refused
    as_owner.post(page(item), {"act": "leave", "copy": copy.pk})
    with brand_scope(ours.brand.pk):
        assert MediaCopy.objects.get().state == CopyState.LEAVING
        MediaCopy.objects.all().delete()
    as_owner.post(page(item), {"act": "describe", "name": "正门", "description": "夜里"})
    assert "正门" in as_owner.get(LIST).content.decode()
    assert as_owner.post(page(item), {"act": "away"}).url == LIST
    assert as_owner.get(page(item)).status_code == 404


def test_another_brands_file_is_not_there(as_owner, ours, theirs):
    with brand_scope(theirs.brand.pk):
        foreign = add(theirs.brand, name="灶山的秘密")
        copy = MediaCopy.objects.create(item=foreign, account=theirs.account, permanent=True, media_id="m")
    with brand_scope(ours.brand.pk):
        item = add(ours.brand)
    assert "秘密" not in as_owner.get(LIST).content.decode()
    assert [as_owner.get(path).status_code for path in (page(foreign), f"{FILE}{foreign.pk}/")] == [404, 404]
    for act in ("keep", "leave", "away", "describe"):
        fields = {"act": act, "account": theirs.account.pk, "copy": copy.pk}
        assert as_owner.post(page(foreign), fields).status_code == 404
    assert as_owner.post(page(item), {"act": "keep", "account": theirs.account.pk}).status_code == 404
    assert as_owner.post(page(item), {"act": "leave", "copy": copy.pk}).status_code == 404
    with brand_scope(theirs.brand.pk):
        assert MediaCopy.objects.get().state == CopyState.THERE


def test_who_only_looks_changes_nothing(as_guide, ours):
    with brand_scope(ours.brand.pk):
        item = add(ours.brand)
    shown = as_guide.get(page(item))
    assert shown.status_code == 200
    assert 'name="act"' not in shown.content.decode()
    for act in ("keep", "describe", "away"):
        assert as_guide.post(page(item), {"act": act, "account": ours.account.pk}).status_code == 403
    assert upload(as_guide, GIF).status_code == 403
    with brand_scope(ours.brand.pk):
        assert (MediaItem.objects.get().name, MediaCopy.objects.count()) == ("门口", 0)


def test_kinds_have_views_and_what_was_put_away_has_its_own(as_owner, ours):
    with brand_scope(ours.brand.pk):
        sent = add(ours.brand, GIF, name="送过的")
        services.note_sent(item_id=sent.pk)
        services.put_away(item_id=sent.pk, at=AT)
        add(ours.brand, name="一张图")
        add(ours.brand, MP4, name="一段视频", kind="VIDEO")

    def named(view):
        return {row.name for row in as_owner.get(LIST, {"view": view}).context["cl"].result_list}

    assert named("") == {"一张图", "一段视频"}
    assert named("image") == {"一张图"}
    assert named("video") == {"一段视频"}
    assert named("away") == {"送过的"}


def test_the_list_asks_as_often_for_three_files_as_for_one(as_owner, ours):
    with brand_scope(ours.brand.pk):
        add(ours.brand)

    def asked():
        with CaptureQueriesContext(connection) as queries:
            as_owner.get(LIST)
        return len(queries)

    one = asked()
    with brand_scope(ours.brand.pk):
        for number in range(2):
            item = add(ours.brand, PNG + bytes([number]))
            MediaCopy.objects.create(item=item, account=ours.account, media_id="m", expires_at=AT)
    assert asked() == one
