"""Pictures: fetched by their id and judged by their bytes; ours get a fresh copy at WeChat before it is needed."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.roles import Role
from accounts.tenancy import brand_scope
from common import clock, failpoints
from inbox import services
from inbox.models import Attachment, AttachmentState, Conversation, Message, SendState
from inbox.services import sending
from library import files
from library import services as library_services
from library.models import MediaCopy
from members.services.erasure import on_erase
from tests.console.conftest import as_manager, as_owner, manager, ours, owner, theirs
from tests.factories import make_staff
from tests.inbox.conftest import push_of
from tests.inbox.test_sending import Person
from wechat_gateway import calls, tokens

__all__ = ["as_manager", "as_owner", "manager", "ours", "owner", "theirs"]

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40


@pytest.fixture(autouse=True)
def _own_storage(settings, tmp_path):
    tokens.forget_cached()
    settings.STORAGES = {
        **settings.STORAGES,
        "private": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path), "base_url": None},
        },
    }
    yield
    tokens.forget_cached()


@pytest.fixture
def person(simulator, account):
    return Person(simulator, account)


def got(person, **more):
    """A picture somebody sent, as it stands in the conversation."""
    at = person.now()
    services.record_push(push=push_of(person.follower, kind="image", at=at, **more))
    return Attachment.objects.get(), at


def sent_media_id(person, body=PNG):
    """The id of a file at the simulated WeChat."""
    at = person.now()
    said = calls.upload_media(person.account, "image", body, file_name="x.png", content_type="image/png", at=at)
    return said.require().data["media_id"]


def test_a_picture_is_fetched_by_its_id_and_kept_in_private_storage(person, tmp_path):
    row, at = got(person, media_id=sent_media_id(person), pic_url="http://169.254.169.254/latest/meta-data")
    services.fetch_attachment(brand_id=row.brand_id, attachment_id=row.pk, at=at)
    row.refresh_from_db()

    assert (row.state, row.content_type) == (AttachmentState.STORED, "image/png")
    assert row.path.startswith(f"b{row.brand_id}/")
    assert files.kind_of(files.read(row.path)) == ("image/png", "png")
    services.fetch_attachment(brand_id=row.brand_id, attachment_id=row.pk, at=at)  # again: nothing new
    assert len(list(tmp_path.rglob("*.*"))) == 1


def test_a_picture_that_wechat_no_longer_has_is_said_to_be_gone(person):
    row, at = got(person, media_id="unknown-media-id")
    services.fetch_attachment(brand_id=row.brand_id, attachment_id=row.pk, at=at)
    row.refresh_from_db()
    assert (row.state, row.reason, row.due_at) == (AttachmentState.REFUSED, "EXPIRED", None)


def test_what_is_no_picture_is_not_kept(person, tmp_path):
    row, at = got(person, media_id=sent_media_id(person, b"<script>alert(1)</script>"))
    services.fetch_attachment(brand_id=row.brand_id, attachment_id=row.pk, at=at)
    row.refresh_from_db()
    assert (row.state, row.reason, row.path) == (AttachmentState.REFUSED, "NOT_A_PICTURE", "")
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize(
    ("answer", "becomes"),
    [
        ({"kind": "empty"}, "WAITING"),
        ({"kind": "html"}, "REFUSED"),
        ({"kind": "body", "body": {"errcode": 40007, "errmsg": "invalid media_id"}}, "REFUSED"),
        ({"kind": "body", "body": {"video_url": "http://169.254.169.254/latest/meta-data"}}, "REFUSED"),
        ({"kind": "body", "body": {"errcode": 0, "errmsg": "ok"}}, "REFUSED"),
        ({"kind": "body", "body": "[1]"}, "REFUSED"),
        ({"kind": "body", "body": "<svg onload=alert(1)>"}, "REFUSED"),
        ({"kind": "body", "body": " "}, "REFUSED"),
    ],
    ids=str,
)
def test_answers_that_are_no_picture_keep_none(person, tmp_path, answer, becomes):
    """OB43: an error, another kind, nothing at all in place of the bytes."""
    person.simulator.fault(path="/cgi-bin/media/get", appid=person.account.appid, count=9, **answer)
    row, at = got(person, media_id=sent_media_id(person))
    services.fetch_attachment(brand_id=row.brand_id, attachment_id=row.pk, at=at)
    row.refresh_from_db()
    assert (row.state, row.path, list(tmp_path.rglob("*.*"))) == (becomes, "", [])
    assert row.reason or becomes == "WAITING"


def test_wechat_being_away_is_tried_again_later(person):
    person.simulator.fault(kind="close_before", path="/cgi-bin/media/get", appid=person.account.appid, count=9)
    row, at = got(person, media_id="whatever")
    services.fetch_attachment(brand_id=row.brand_id, attachment_id=row.pk, at=at)
    row.refresh_from_db()
    assert (row.state, row.attempts) == (AttachmentState.WAITING, 1)
    assert services.due_attachments(at=at) == []
    assert services.due_attachments(at=at + timedelta(minutes=2)) == [row.pk]


def test_a_picture_of_somebody_erased_while_it_is_fetched_leaves_no_file(person, tmp_path, monkeypatch):
    row, at = got(person, media_id=sent_media_id(person))
    forget = dict(on_erase.items())["inbox.conversations"]
    monkeypatch.setitem(
        failpoints.armed,
        "attachment: fetched, not noted",
        lambda: forget(follower=person.follower, whole=False, at=at),
    )

    services.fetch_attachment(brand_id=row.brand_id, attachment_id=row.pk, at=at)

    assert (Attachment.objects.count(), list(tmp_path.rglob("*.*"))) == (0, [])


def send_picture(person, item, at, desk):
    line = services.send_picture(
        conversation_id=Conversation.objects.get().pk, staff_id=desk.pk, item=item, client_key=uuid4(), at=at
    )
    sending.deliver(brand_id=line.brand_id, message_id=line.pk, at=at)
    line.refresh_from_db()
    return line


def test_a_copy_that_has_expired_is_made_afresh_so_that_five_days_of_sending_never_fail(person):
    """B13: a picture is sent twice a day for five days while WeChat forgets uploads after three; no 40007."""
    desk = make_staff("desk", Role.MARKETER)
    item = library_services.add_media(name="门店", body=PNG, at=person.now(), brand_id=person.account.brand_id)
    copies = set()
    for _half_day in range(10):
        person.act("text", content="有图吗")
        at = person.now()
        services.record_push(push=push_of(person.follower, content="有图吗", at=at))
        line = send_picture(person, item, at, desk)
        assert (line.state, line.code) == (SendState.SENT, 0)
        copies.add(MediaCopy.objects.get().media_id)
        person.simulator.post("/_sim/clock", advance=12 * 3600)
    assert len(copies) == 2


@pytest.mark.parametrize("permanent", [True, False])
def test_a_picture_that_wechat_does_not_know_any_more_is_uploaded_again_and_sent_once(person, permanent):
    desk, at, account = make_staff("desk", Role.MARKETER), person.now(), person.account
    item = library_services.add_media(name="门店", body=PNG, at=at, brand_id=account.brand_id)
    MediaCopy.objects.create(
        item=item,
        account=account,
        permanent=permanent,
        media_id="deleted-there",
        expires_at=None if permanent else at + timedelta(days=2),
    )
    person.act("text", content="有图吗")
    at = person.now()
    services.record_push(push=push_of(person.follower, content="有图吗", at=at))

    line = send_picture(person, item, at, desk)

    assert (line.state, line.code) == (SendState.SENT, 0)
    chat = person.simulator.get(f"/_sim/people/{person.name}/conversation?appid={account.appid}")
    assert [entry["kind"] for entry in chat["entries"] if entry.get("via") == "custom"] == ["image"]
    assert MediaCopy.objects.get(permanent=False).media_id not in ("", "deleted-there")
    if permanent:
        assert MediaCopy.objects.get(permanent=True).state == "WAITING"  # it is kept for good again by a task


@pytest.mark.django_db
def test_a_picture_is_handed_out_only_with_its_conversation(as_owner, ours, theirs):
    seen = []
    for world in (ours, theirs):
        with brand_scope(world.brand.pk):
            at = clock.now()
            services.record_push(push=push_of(world.follower, kind="image", media_id="m", at=at))
            row = Attachment.objects.get()
            row.state, row.path, row.content_type = "STORED", files.store(PNG, brand_id=world.brand.pk), "image/png"
            row.save()
            line = Message.objects.get(attachment=row)
            seen.append(f"inbox/{line.conversation_id}/files/{line.pk}/")
    shown = as_owner.get(f"/b/lanyu/{seen[0]}")
    assert (shown.status_code, shown["Content-Type"], shown["X-Content-Type-Options"]) == (200, "image/png", "nosniff")
    assert [as_owner.get(path).status_code for path in (f"/b/lanyu/{seen[1]}", f"/b/zaoshan/{seen[1]}")] == [404, 404]


@pytest.mark.django_db
@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", ""])
def test_only_pictures_are_handed_out_whatever_was_stored(as_owner, ours, content_type):
    with brand_scope(ours.brand.pk):
        services.record_push(push=push_of(ours.follower, kind="image", media_id="m", at=clock.now()))
        path = files.store(PNG, brand_id=ours.brand.pk)
        Attachment.objects.update(state="STORED", path=path, content_type=content_type)
        line = Message.objects.get(kind="image")
    assert as_owner.get(f"/b/lanyu/inbox/{line.conversation_id}/files/{line.pk}/").status_code == 404


@pytest.mark.django_db
def test_a_picture_is_not_handed_out_through_another_conversation(as_manager, ours):
    """Who may see one conversation gets no file of another by its number."""
    lines = []
    with brand_scope(ours.brand.pk):
        for member in (ours.member, ours.far_member):
            services.record_push(push=push_of(member.followers.get(), kind="image", media_id="m", at=clock.now()))
            line = (
                Message.objects.select_related("attachment")
                .order_by("-pk")
                .get(conversation__follower__member=member, kind="image")
            )
            path = files.store(PNG, brand_id=ours.brand.pk)
            Attachment.objects.filter(pk=line.attachment_id).update(state="STORED", path=path, content_type="image/png")
            lines.append(line)
    near, far = lines

    def asked(conversation_id, line_id):
        return as_manager.get(f"/b/lanyu/inbox/{conversation_id}/files/{line_id}/").status_code

    assert asked(near.conversation_id, near.pk) == 200
    assert [asked(near.conversation_id, far.pk), asked(far.conversation_id, far.pk)] == [404, 404]
