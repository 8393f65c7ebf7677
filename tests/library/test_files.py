"""What comes into the library: judged by its bytes, once in a brand, never more than WeChat takes."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from library import files, selectors, services
from library.errors import MediaMissing, MediaRefused, MediaUsed
from library.models import CopyState, MediaCopy, MediaItem, MediaKind
from library.uses import Use, media_users
from tests.factories import AT, make_account
from tests.library.conftest import BARE_MP3, GIF, JPEG, MP3, MP4, PNG, add, amr

GOOD = [
    (MediaKind.IMAGE, PNG, "image/png"),
    (MediaKind.IMAGE, JPEG, "image/jpeg"),
    (MediaKind.IMAGE, GIF, "image/gif"),
    (MediaKind.VOICE, amr(60), "audio/amr"),
    (MediaKind.VOICE, MP3, "audio/mpeg"),
    (MediaKind.VOICE, BARE_MP3, "audio/mpeg"),
    (MediaKind.VIDEO, MP4, "video/mp4"),
    (MediaKind.THUMB, JPEG, "image/jpeg"),
]


@pytest.mark.parametrize(("kind", "body", "content_type"), GOOD)
def test_a_file_is_kept_as_what_it_is(in_brand, tmp_path, kind, body, content_type):
    item = add(in_brand, body, name="lied-about.exe", kind=kind)
    assert (item.kind, item.content_type, item.size) == (kind, content_type, len(body))
    assert files.read(item.path) == body
    assert item.path.startswith(f"b{in_brand.pk}/")
    assert "lied" not in item.path
    assert len(list(tmp_path.rglob("*.*"))) == 1
    assert [entry.action for entry in AuditEntry.objects.all()] == ["add file"]


@pytest.mark.parametrize("kind", MediaKind)
def test_a_file_of_another_kind_is_refused_whatever_it_is_called(in_brand, tmp_path, kind):
    others = [body for other, body, _type in GOOD if other != kind and (kind, body) not in {row[:2] for row in GOOD}]
    if kind == MediaKind.IMAGE:
        others = [body for body in others if body != JPEG]
    bad = [*others, b"<svg onload=alert(1)>", b"%PDF-1.7", b"GIF8", b"#!AMR", b"\x00\x00\x00\x18ftyq"]
    for body in bad:
        with pytest.raises(MediaRefused) as refused:
            add(in_brand, body, name="x.png", kind=kind)
        assert files.LIMITS[kind].shown in refused.value.hint
    assert (MediaItem.objects.count(), list(tmp_path.rglob("*.*"))) == (0, [])


@pytest.mark.parametrize(
    ("kind", "body", "fault"),
    [
        (MediaKind.IMAGE, b"", files.EMPTY),
        (MediaKind.IMAGE, PNG + b"\x00" * files.LIMITS[MediaKind.IMAGE].bytes, files.TOO_LARGE),
        (MediaKind.THUMB, JPEG + b"\x00" * files.LIMITS[MediaKind.THUMB].bytes, files.TOO_LARGE),
        (MediaKind.VOICE, amr(60.1), files.TOO_LONG),
        (MediaKind.VOICE, MP3 + b"\x00" * 2_000_000, files.TOO_LARGE),
    ],
)
def test_what_is_too_much_for_wechat_is_refused_here(in_brand, kind, body, fault):
    assert files.fault_of(body, kind) == fault
    with pytest.raises(MediaRefused):
        add(in_brand, body, kind=kind)


def test_the_same_file_is_one_in_a_brand_and_another_in_the_next(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            first = add(each, name="a")
            assert add(each, name="b").pk == first.pk
            assert add(each, JPEG).pk != add(each, JPEG, kind=MediaKind.THUMB).pk
            assert MediaItem.objects.count() == 3


def test_a_choice_offers_the_kind_newest_first_and_keeps_what_is_chosen(brand, other_brand):
    with brand_scope(other_brand.pk):
        theirs = add(other_brand, name="灶山")
    with brand_scope(brand.pk):
        first, second, cover = add(brand, name="一"), add(brand, GIF, name="二"), add(brand, JPEG, kind=MediaKind.THUMB)
        assert selectors.media_choices() == [(second.pk, "二"), (first.pk, "一")]
        services.put_away(item_id=second.pk, at=AT)
        assert selectors.media_choices() == [(first.pk, "一")]
        MediaItem.objects.filter(pk=first.pk).update(archived_at=AT)
        assert selectors.media_choices(chosen=first.pk) == [(first.pk, "一")]
        assert selectors.media_choices(chosen=cover.pk) == []
        assert selectors.media_choices(chosen=theirs.pk) == []
        assert [selectors.media_named(pk) for pk in (first.pk, cover.pk, theirs.pk, None)] == [first, None, None, None]


def test_what_is_used_stays_and_what_was_sent_is_only_put_away(
    in_brand, tmp_path, monkeypatch, django_capture_on_commit_callbacks
):
    used, sent, fresh = add(in_brand), add(in_brand, GIF), add(in_brand, JPEG)
    monkeypatch.setattr(media_users, "_entries", dict(media_users._entries))
    media_users.register("tests.replies", lambda ids: {used.pk: [Use("回复", "欢迎", "/x/")]})
    services.note_sent(item_id=sent.pk)

    with pytest.raises(MediaUsed, match="欢迎"):
        services.put_away(item_id=used.pk, at=AT)
    with django_capture_on_commit_callbacks(execute=True):
        for item in (sent, fresh):
            services.put_away(item_id=item.pk, at=AT)
    with pytest.raises(MediaMissing):
        services.put_away(item_id=fresh.pk, at=AT)

    assert {row.pk: row.archived_at for row in MediaItem.objects.all()} == {used.pk: None, sent.pk: AT}
    assert len(list(tmp_path.rglob("*.*"))) == 2
    assert add(in_brand, GIF).pk == sent.pk  # whoever adds it again gets it back
    assert {row.archived_at for row in MediaItem.objects.all()} == {None}


def test_what_wechat_keeps_for_good_is_not_put_away(in_brand):
    item = add(in_brand)
    copy = MediaCopy.objects.create(item=item, account=make_account(), permanent=True, media_id="m")
    with pytest.raises(MediaUsed, match="澜屿"):
        services.put_away(item_id=item.pk, at=AT)
    MediaCopy.objects.filter(pk=copy.pk).update(state=CopyState.REFUSED)
    services.put_away(item_id=item.pk, at=AT)
    assert MediaItem.objects.count() == 0
