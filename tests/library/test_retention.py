"""Tidying the library: expired ids go, unused files are named and stay, a dry run changes nothing."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.tenancy import brand_scope
from common import clock
from library import services
from library.models import MediaCopy, MediaItem
from library.uses import Use, media_users
from tests.factories import make_account
from tests.library.conftest import GIF, JPEG, MP3, PNG

DAY = timedelta(days=1)


def file(brand, body, name, age, **more):
    item = services.add_media(name=name, body=body, at=clock.now() - age, brand_id=brand.pk, **more)
    MediaItem.objects.filter(pk=item.pk).update(created_at=clock.now() - age)
    return item


def furnish(brand):
    """A copy that ended 31 days ago, one that ended 29 days ago, and files of every fate."""
    account = make_account()
    old = file(brand, PNG, "旧海报", 200 * DAY)
    file(brand, GIF, "新海报", 10 * DAY)
    sent = file(brand, JPEG, "发过的", 200 * DAY)
    MediaItem.objects.filter(pk=sent.pk).update(sent=1)
    kept = file(brand, MP3, "长期的", 200 * DAY, kind="VOICE")
    MediaCopy.objects.create(item=kept, account=account, permanent=True, media_id="p")
    for item, ended in ((old, 31), (sent, 29)):
        MediaCopy.objects.create(item=item, account=account, media_id="t", expires_at=clock.now() - ended * DAY)


def run(brand, *more):
    out = StringIO()
    call_command("tidy_library", "--brand", brand.slug, *more, stdout=out)
    return out.getvalue().splitlines()


def test_a_dry_run_says_what_would_go_and_changes_nothing(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            furnish(each)
    lines = run(brand, "--dry-run")
    assert len(lines) == 2
    assert "旧海报" in lines[0]
    assert lines[1] == "1 ids of expired copies would go; 1 unused files stay"
    with brand_scope(brand.pk):
        assert (MediaCopy.objects.count(), MediaItem.objects.count()) == (3, 4)

    assert run(brand)[-1] == "1 ids of expired copies are gone; 1 unused files stay"
    with brand_scope(brand.pk):
        assert sorted(MediaCopy.objects.values_list("item__name", flat=True)) == ["发过的", "长期的"]
        assert MediaItem.objects.count() == 4  # no file is ever deleted
    with brand_scope(other_brand.pk):
        assert MediaCopy.objects.count() == 3
    assert run(brand)[-1] == "0 ids of expired copies are gone; 1 unused files stay"


def test_what_something_uses_is_not_called_unused(in_brand, monkeypatch):
    item = file(in_brand, PNG, "菜单图", 200 * DAY)
    assert services.unused_files(at=clock.now()) == [item]
    assert services.unused_files(at=clock.now(), unused_after=201 * DAY) == []
    monkeypatch.setattr(media_users, "_entries", dict(media_users._entries))
    media_users.register("tests.menu", lambda ids: {pk: [Use("菜单", "本周", "/x/")] for pk in ids})
    assert services.unused_files(at=clock.now()) == []


@pytest.mark.parametrize("arguments", [["--brand", "nobody"], ["--brand", "lanyu", "--unused-days", "0"]])
def test_wrong_arguments_are_told(brand, arguments):
    with pytest.raises(CommandError):
        call_command("tidy_library", *arguments)
