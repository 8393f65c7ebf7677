"""Copies at WeChat: temporary ones made afresh in time, permanent ones within the quota, taken away when unused."""

from __future__ import annotations

from datetime import timedelta
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from common import failpoints
from library import selectors, services
from library.errors import LibraryFull, MediaUsed
from library.models import CopyState, MediaCopy, MediaCount, MediaItem, MediaKind
from library.services.copies import LIVES
from library.uses import Use, media_listeners, media_users
from tests.factories import AT, make_account
from tests.library.conftest import GIF, JPEG, MP3, MP4, PNG, add
from wechat_gateway import calls
from wechat_gateway.answers import Answer, Outcome


def id_of(item, account, at):
    return services.media_id_for(brand_id=item.brand_id, item_id=item.pk, account=account, at=at)


def settle(copy, at):
    services.settle_copy(brand_id=copy.brand_id, copy_id=copy.pk, at=at)
    return MediaCopy.objects.filter(pk=copy.pk).first()


def kept(item, account, at):
    """A copy that WeChat keeps for good."""
    return settle(services.keep_for_good(item_id=item.pk, account_id=account.pk, at=at), at)


def there(wechat, media_id):
    """Whether WeChat takes a media id, judged by its own store."""
    try:
        with urlopen(f"{wechat.simulator.url}/_sim/media/{media_id}", timeout=10) as answer:
            return answer.status == 200
    except HTTPError:
        return False


@pytest.mark.parametrize(
    ("kind", "body"),
    [(MediaKind.IMAGE, PNG), (MediaKind.VOICE, MP3), (MediaKind.VIDEO, MP4), (MediaKind.THUMB, JPEG)],
)
def test_every_kind_gets_an_id_that_wechat_knows(in_brand, wechat, kind, body):
    item = add(in_brand, body, kind=kind)
    media_id = id_of(item, wechat.account, wechat.now())
    assert there(wechat, media_id)
    assert id_of(item, wechat.account, wechat.now()) == media_id


def test_a_copy_close_to_its_end_is_not_used(in_brand, wechat):
    at, item = wechat.now(), add(in_brand)
    first = id_of(item, wechat.account, at)
    early, late = at + LIVES - selectors.MARGIN * 2, at + LIVES - selectors.MARGIN / 2
    assert id_of(item, wechat.account, early) == first
    assert selectors.living_media_ids([item.pk], account_id=wechat.account.pk, at=late) == {}
    assert id_of(item, wechat.account, late) != first
    assert MediaCopy.objects.count() == 1


def test_every_account_has_its_own_copy(in_brand, wechat):
    other = make_account(name="第二个号")
    wechat.simulator.know(other)
    item = add(in_brand)
    ids = {id_of(item, account, wechat.now()) for account in (wechat.account, other)}
    assert len(ids) == 2
    assert selectors.living_media_ids([item.pk], account_id=other.pk, at=wechat.now())[item.pk] in ids


def test_a_file_that_is_gone_says_so_and_asks_nobody(in_brand, account):
    item = add(in_brand)
    MediaItem.objects.filter(pk=item.pk).update(path="nowhere.png")
    said = id_of(item, account, AT)
    assert isinstance(said, Answer)
    assert (said.ok, said.cause) == (False, "FILE_GONE")
    assert id_of(MediaItem(pk=987_654, brand_id=in_brand.pk), account, AT).cause == "FILE_GONE"


@pytest.mark.parametrize(("kind", "body"), [(MediaKind.IMAGE, PNG), (MediaKind.VIDEO, MP4)])
def test_what_is_kept_for_good_outlives_three_days_and_is_preferred(in_brand, wechat, kind, body):
    item = add(in_brand, body, kind=kind)
    temporary = id_of(item, wechat.account, wechat.now())
    copy = kept(item, wechat.account, wechat.now())
    assert (copy.state, copy.due_at, copy.code) == (CopyState.THERE, None, 0)
    assert id_of(item, wechat.account, wechat.now()) == copy.media_id
    wechat.simulator.post("/_sim/clock", advance=4 * 86_400)
    assert [there(wechat, media_id) for media_id in (temporary, copy.media_id)] == [False, True]
    assert settle(copy, wechat.now()).attempts == 1  # a call that comes twice uploads once
    count = MediaCount.objects.get()
    assert (count.images + count.videos, count.voices) == (1, 0)


def test_asking_twice_is_asking_once(in_brand, wechat):
    item = add(in_brand)
    first = services.keep_for_good(item_id=item.pk, account_id=wechat.account.pk, at=AT)
    assert services.keep_for_good(item_id=item.pk, account_id=wechat.account.pk, at=AT).pk == first.pk
    assert MediaCopy.objects.count() == 1


def test_a_full_account_is_refused_here_before_wechat_refuses(in_brand, wechat, monkeypatch):
    from library import files

    monkeypatch.setitem(files.LIMITS, MediaKind.IMAGE, files.Limit(10_000_000, 2, ""))
    at = wechat.now()
    calls.add_material(wechat.account, "image", PNG, file_name="a.png", content_type="image/png", at=at).require()
    services.count_media(brand_id=in_brand.pk, account_id=wechat.account.pk, at=at)  # somebody else's file counts
    kept(add(in_brand), wechat.account, at)
    room = selectors.room_of(wechat.account.pk, MediaKind.IMAGE)
    assert (room.used, room.most, room.left) == (2, 2, 0)

    with pytest.raises(LibraryFull, match="2"):
        services.keep_for_good(item_id=add(in_brand, GIF).pk, account_id=wechat.account.pk, at=at)
    voice = kept(add(in_brand, MP3, kind=MediaKind.VOICE), wechat.account, at)  # another kind has room of its own
    assert voice.state == CopyState.THERE


def test_an_account_that_others_have_filled_meanwhile_is_not_even_asked(in_brand, wechat, monkeypatch):
    from library import files

    at = wechat.now()
    copy = services.keep_for_good(item_id=add(in_brand).pk, account_id=wechat.account.pk, at=at)
    for number in range(2):
        body = PNG + bytes([number])
        calls.add_material(wechat.account, "image", body, file_name="a.png", content_type="image/png", at=at).require()
    monkeypatch.setitem(files.LIMITS, MediaKind.IMAGE, files.Limit(10_000_000, 2, ""))
    row = settle(copy, at)
    assert (row.state, row.cause, row.media_id, row.due_at) == (CopyState.REFUSED, "FULL", "", None)


def test_a_refusal_of_wechat_is_kept_with_its_code_and_can_be_tried_again(in_brand, wechat):
    wechat.simulator.post("/_sim/switches", permanent_media=0)
    item = add(in_brand)
    row = kept(item, wechat.account, wechat.now())
    assert (row.state, row.code, row.due_at) == (CopyState.REFUSED, 45001, None)
    wechat.simulator.post("/_sim/switches", permanent_media=100_000)
    assert kept(item, wechat.account, wechat.now()).state == CopyState.THERE


def permanent(wechat):
    """The names of what the account has for good, by WeChat's own list."""
    said = calls.list_material(wechat.account, "image", at=wechat.now()).require()
    return [row["name"] for row in said.data["item"]]


@pytest.mark.parametrize("fault", ["close_after", "empty_200"])
def test_an_upload_that_may_have_arrived_is_looked_for_before_it_is_repeated(in_brand, wechat, fault):
    at, item = wechat.now(), add(in_brand)
    wechat.simulator.fault(kind=fault, path="/cgi-bin/material/add_material", appid=wechat.account.appid, count=1)
    row = kept(item, wechat.account, at)
    assert (row.state, row.media_id, row.ordered_at) == (CopyState.WAITING, "", at)
    assert len(permanent(wechat)) == 1  # it has arrived, and nothing sent it a second time

    later = at + timedelta(minutes=2)
    assert settle(row, later).state == CopyState.THERE
    assert len(permanent(wechat)) == 1
    assert id_of(item, wechat.account, later) == MediaCopy.objects.get().media_id
    assert there(wechat, MediaCopy.objects.get().media_id)


def test_a_worker_that_died_after_the_upload_leaves_one_file(in_brand, wechat):
    at, item = wechat.now(), add(in_brand)
    copy = services.keep_for_good(item_id=item.pk, account_id=wechat.account.pk, at=at)
    settle(copy, at)
    first = MediaCopy.objects.get().media_id
    MediaCopy.objects.update(state=CopyState.WAITING, media_id="", due_at=at)  # the answer was never written down
    assert settle(copy, at).media_id == first
    assert len(permanent(wechat)) == 1


class Killed(BaseException):
    """The process is gone."""


def dies(monkeypatch, name, work):
    def die():
        raise Killed

    monkeypatch.setitem(failpoints.armed, name, die)
    with pytest.raises(Killed):
        work()
    monkeypatch.delitem(failpoints.armed, name)


def test_a_worker_killed_before_it_records_is_made_up_for_at_both_ends(in_brand, wechat, monkeypatch):
    at, item = wechat.now(), add(in_brand)
    copy = services.keep_for_good(item_id=item.pk, account_id=wechat.account.pk, at=at)
    dies(monkeypatch, "library: kept, not recorded", lambda: settle(copy, at))
    copy = settle(copy, at + timedelta(minutes=2))
    assert (copy.state, len(permanent(wechat))) == (CopyState.THERE, 1)

    later = at + timedelta(minutes=3)
    services.take_away(copy_id=copy.pk, item_id=item.pk, at=later)
    dies(monkeypatch, "library: taken away, not recorded", lambda: settle(copy, later))
    assert settle(copy, later + timedelta(hours=1)) is None
    assert permanent(wechat) == []


def test_what_did_not_arrive_is_uploaded_again_and_other_files_are_not_taken_for_it(in_brand, wechat):
    at = wechat.now()
    for number in range(21):  # more than a page of somebody else's files
        calls.add_material(
            wechat.account, "image", PNG + bytes([number]), file_name=f"a{number}.png", content_type="image/png", at=at
        ).require()
    path = {"path": "/cgi-bin/material/add_material", "appid": wechat.account.appid, "count": 1}
    wechat.simulator.fault(kind="close_before", **path)
    row = kept(add(in_brand), wechat.account, at)
    assert row.state == CopyState.WAITING
    assert settle(row, at + timedelta(minutes=2)).state == CopyState.THERE
    said = calls.count_material(wechat.account, at=at).require().data["image_count"]
    assert said == 22


def test_without_wechats_list_nothing_is_uploaded_again(in_brand, wechat):
    at = wechat.now()
    wechat.simulator.fault(
        kind="close_after", path="/cgi-bin/material/add_material", appid=wechat.account.appid, count=1
    )
    row = kept(add(in_brand), wechat.account, at)
    wechat.simulator.fault(
        kind="busy", errcode=-1, path="/cgi-bin/material/batchget_material", appid=wechat.account.appid
    )
    row = settle(row, at + timedelta(minutes=2))
    assert (row.state, row.attempts) == (CopyState.WAITING, 2)
    wechat.simulator.delete("/_sim/faults")
    assert len(permanent(wechat)) == 1


def test_wechat_being_busy_is_tried_again_when_due(in_brand, wechat):
    at = wechat.now()
    wechat.simulator.fault(
        kind="busy", errcode=-1, path="/cgi-bin/material/add_material", appid=wechat.account.appid, count=9
    )
    row = kept(add(in_brand), wechat.account, at)
    assert (row.state, row.attempts) == (CopyState.WAITING, 1)
    assert selectors.due_copies(at=at) == []
    assert selectors.due_copies(at=at + timedelta(minutes=2)) == [row.pk]
    wechat.simulator.delete("/_sim/faults")
    assert settle(row, at + timedelta(minutes=2)).state == CopyState.THERE


def test_a_permanent_file_is_taken_away_when_nothing_uses_it(in_brand, wechat, monkeypatch):
    at, item = wechat.now(), add(in_brand)
    copy = kept(item, wechat.account, at)
    monkeypatch.setattr(media_users, "_entries", dict(media_users._entries))
    media_users.register("tests.menu", lambda ids: {pk: [Use("菜单", "本周新品", "/x/")] for pk in ids})
    with pytest.raises(MediaUsed, match="本周新品"):
        services.take_away(copy_id=copy.pk, item_id=item.pk, at=at)
    media_users._entries.pop("tests.menu")

    services.take_away(copy_id=copy.pk, item_id=item.pk, at=at)
    assert MediaCopy.objects.get().state == CopyState.LEAVING
    assert selectors.living_media_ids([item.pk], account_id=wechat.account.pk, at=at) == {}
    assert settle(copy, at) is None
    assert not there(wechat, copy.media_id)
    assert (MediaCount.objects.get().images, MediaItem.objects.count()) == (0, 1)


def test_what_wechat_has_forgotten_already_is_gone_here_too(in_brand, wechat):
    at, item = wechat.now(), add(in_brand)
    copy = kept(item, wechat.account, at)
    calls.delete_material(wechat.account, copy.media_id, at=at).require()
    services.take_away(copy_id=copy.pk, item_id=item.pk, at=at)
    assert settle(copy, at) is None


def test_the_meter_shows_wechats_count_or_ours_where_that_is_more(brand, other_brand):
    from accounts.tenancy import brand_scope

    for each, images in ((other_brand, 900), (brand, 7)):
        with brand_scope(each.pk):
            account = make_account()
            MediaCount.objects.create(account=account, images=images, at=AT)
            for number in range(2):
                item = add(each, JPEG + bytes([number]), kind=MediaKind.THUMB)
                MediaCopy.objects.create(item=item, account=account, permanent=True, media_id="m")
            rooms = {room.kind: (room.used, room.most) for room in selectors.rooms([account.pk])}
            assert rooms == {
                MediaKind.IMAGE: (images, 100_000),
                MediaKind.VOICE: (0, 1_000),
                MediaKind.VIDEO: (0, 1_000),
                MediaKind.THUMB: (2, 1_000),
            }


def test_what_somebody_deleted_at_wechat_is_found_in_its_list_and_uploaded_again(in_brand, wechat, monkeypatch):
    at, told = wechat.now(), []
    gone, stays = kept(add(in_brand), wechat.account, at), kept(add(in_brand, JPEG, "招牌"), wechat.account, at)
    for number in range(21):  # ours are not on the first page
        calls.add_material(
            wechat.account, "image", PNG + bytes([number]), file_name=f"a{number}.png", content_type="image/png", at=at
        ).require()
    monkeypatch.setattr(media_listeners, "_entries", dict(media_listeners._entries))
    media_listeners.register("tests.seen", lambda *, account_id, item_id: told.append((account_id, item_id)))
    calls.delete_material(wechat.account, gone.media_id, at=at).require()

    later = at + timedelta(days=1)
    compare = {"brand_id": in_brand.pk, "account_id": wechat.account.pk, "at": later}
    assert [services.compare_media(**compare), services.compare_media(**compare)] == [1, 0]
    lost = MediaCopy.objects.get(pk=gone.pk)
    assert (lost.state, lost.media_id, lost.former_id, lost.cause) == ("WAITING", "", gone.media_id, "GONE")
    assert MediaCopy.objects.get(pk=stays.pk).media_id == stays.media_id
    assert selectors.permanent_media_ids([gone.item_id], account_id=wechat.account.pk) == {}

    again = settle(lost, later)
    assert (again.state, there(wechat, again.media_id), again.media_id != gone.media_id) == ("THERE", True, True)
    assert told == [(wechat.account.pk, gone.item_id)] * 2  # lost, and there again


def test_a_list_that_cannot_be_read_whole_says_nothing_is_gone(in_brand, wechat, monkeypatch):
    at = wechat.now()
    copy = kept(add(in_brand), wechat.account, at)
    calls.delete_material(wechat.account, copy.media_id, at=at).require()
    compare = {"brand_id": in_brand.pk, "account_id": wechat.account.pk, "at": at + timedelta(days=1)}

    wechat.simulator.fault(kind="busy", errcode=-1, path="/cgi-bin/material/batchget_material", count=5)
    assert services.compare_media(**compare) == 0
    wechat.simulator.delete("/_sim/faults")
    pages = iter([{"total_count": 40, "item": []}, {"total_count": 39, "item": []}, {"errcode": 0, "errmsg": "ok"}])
    monkeypatch.setattr(calls, "list_material", lambda *_args, **_more: Answer(Outcome.ACCEPTED, data=next(pages)))
    for _changed_then_unheard in range(2):
        assert services.compare_media(**compare) == 0
    assert MediaCopy.objects.get().state == CopyState.THERE


def test_a_file_that_is_unknown_right_after_its_upload_is_not_uploaded_for_ever(in_brand, wechat):
    at = wechat.now()
    copy = kept(add(in_brand), wechat.account, at)
    assert services.lose_media(account_id=wechat.account.pk, media_id="of nobody", at=at) is None
    assert services.lose_media(account_id=wechat.account.pk, media_id="", at=at) is None
    for _twice in range(2):
        assert services.lose_media(account_id=wechat.account.pk, media_id=copy.media_id, at=at) == copy.item_id
    row = MediaCopy.objects.get()
    assert (row.state, row.code, row.due_at) == (CopyState.REFUSED, 40007, None)
