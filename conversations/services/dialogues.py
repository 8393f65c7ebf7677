"""Dialogues: saving and publishing them, and taking each message of a talk, once and in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max
from django.utils import translation
from django.utils.translation import gettext_lazy

from accounts.services import record_audit
from common.registry import Registry
from conversations.errors import DialogueInvalid
from conversations.models import Dialogue, DialogueRun, DialogueVersion, ReplyRecord, ReplyState, RunState, Trigger, Way
from conversations.script import LANGUAGE, OWN, Turn, faults, own_faults, read_steps
from conversations.selectors import compiled_for, facts_of, own_fields, running, talk_of, turn_of
from members import services as member_services
from members.errors import ProfileValueInvalid
from members.models import Purpose, Tag
from members.profiles import DIALOGUE
from touchpoints.services import replies_changed
from wechat_gateway.windows import granted_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from conversations.script import Written
    from members.models import Follower, ProfileField
    from wechat_gateway.events import Push


@dataclass(frozen=True)
class AnswerField:
    """Where an answer is kept about a person: `write(member_id, value)`. The service adds consent and source."""

    label: StrOrPromise
    write: Callable[[int, Any], object]


answer_fields: Registry[AnswerField] = Registry("answer fields", purpose="where a dialogue keeps an answer")


def _keep_birthday(member_id: int, value: Any) -> None:
    if isinstance(value, int):  # a lunar date stays in the talk: which day it is cannot be told
        member_services.change_profile(member_id=member_id, birth_mmdd=value)


def _keep_name(member_id: int, value: Any) -> None:
    member_services.change_profile(member_id=member_id, name=str(value)[:60])


def _keep_city(member_id: int, value: Any) -> None:
    member_services.change_profile(member_id=member_id, city=str(value)[:40])


answer_fields.register("birthday", AnswerField(gettext_lazy("Birthday"), _keep_birthday))
answer_fields.register("name", AnswerField(gettext_lazy("Name"), _keep_name))
answer_fields.register("city", AnswerField(gettext_lazy("City"), _keep_city))


@transaction.atomic
def save_dialogue(*, dialogue: Dialogue, at: datetime, publish: bool) -> Dialogue:
    """Keep the draft of a dialogue; with `publish` it is a new version, and whoever is talking ends with the old one.

    Raises `DialogueInvalid` when it is to be published and cannot be.
    """
    steps = read_steps(dialogue.draft)
    if publish:
        for fault in faults(steps) or own_faults(steps, own_fields()):
            raise DialogueInvalid(fault.key, fault.message)
    known = Dialogue.objects.filter(pk=dialogue.pk).values("name", "keywords", "draft", "is_enabled")
    before: dict[str, Any] = dict(known.first() or {})
    dialogue.updated_at = at
    dialogue.save()
    after = {name: getattr(dialogue, name) for name in ("name", "keywords", "draft", "is_enabled")}
    changes = {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}
    latest = dialogue.versions.order_by("-number").first()
    if publish and (latest is None or latest.steps != dialogue.draft):
        number = (dialogue.versions.aggregate(last=Max("number"))["last"] or 0) + 1
        DialogueVersion.objects.create(dialogue=dialogue, number=number, steps=dialogue.draft, published_at=at)
        changes["version"] = [number - 1 or None, number]
    record_audit(action="change dialogue" if before else "create dialogue", obj=dialogue, changes=changes)
    replies_changed(account_id=dialogue.account_id)
    return dialogue


def fields_changed(_field: ProfileField) -> None:
    """Let the gateway know which questions the brand's fields still have an ear for."""
    for account_id in Dialogue.objects.order_by("account_id").values_list("account_id", flat=True).distinct():
        replies_changed(account_id=account_id)


def talk(*, follower: Follower, push: Push, heard: Callable[[str], bool], said: str) -> ReplyRecord | None:
    """Take a message as part of a talk, if it is one. Gives what was written down then; without id if it was before.

    The talk goes on from what is stored, whatever WeChat heard meanwhile: when two messages came so quickly that the
    reply to the second was made from the state before the first, the right question follows as a customer-service
    message. `heard(text)` says whether the stored reply is this text.
    """
    rules, dialogues = compiled_for(push)
    if not dialogues.starts:
        return None
    run = running(push.account_id, push.openid, at=push.received_at, lock=True)
    with translation.override(LANGUAGE):
        found = turn_of(
            dialogues,
            rules,
            talk_of(run),
            push,
            lambda: facts_of(rules, push.account_id, push.openid, at=push.received_at),
        )
    if found is None:
        return None
    turn, version_id = found
    if run is None or (run.version_id != version_id):
        # Another talk, or one that was left a month ago.
        DialogueRun.objects.filter(follower=follower, state=RunState.ACTIVE).update(state=RunState.LEFT)
        run = DialogueRun(version_id=version_id, follower=follower, started_at=push.received_at)
    _keep_turn(run, turn, push.received_at)
    if turn.written is not None:
        _write(run, turn.written, follower, push.received_at)
    return _note(follower, push, turn, heard=heard(turn.text), said=bool(said))


def _keep_turn(run: DialogueRun, turn: Turn, at: datetime) -> None:
    run.updated_at = at
    if turn.written is not None:
        run.answers = {**run.answers, turn.written.step: turn.written.in_talk}
    if turn.state is None:
        run.state, run.step = RunState(turn.ended or RunState.DONE), run.step or "-"
    else:
        run.step, run.tries = turn.state.step, turn.state.tries
    run.save()


def _write(run: DialogueRun, written: Written, follower: Follower, at: datetime) -> None:
    """Keep an answer about the person, with consent and where it comes from."""
    version = DialogueVersion.objects.select_related("dialogue").get(pk=run.version_id)
    field = answer_fields.find(written.field) if written.field else None
    tags = list(Tag.objects.filter(pk__in=written.tag_ids).values_list("pk", flat=True)) if written.tag_ids else []
    is_own = written.field.startswith(OWN) and _keep_own(version.dialogue, written, follower.member_id, at)
    if field is None and not tags and not is_own:
        return
    member_services.give_consent(
        member=follower.member,
        purpose=Purpose.SERVICE,
        text_version=f"D{version.dialogue_id}v{version.number}",
        source="dialogue",
        at=at,
    )
    if field is not None:
        field.write(follower.member_id, written.value)
    if tags:
        source = f"dialogue: {version.dialogue.name}"
        member_services.tag_members(member_ids=[follower.member_id], tag_ids=tags, source=source, at=at)


def _keep_own(dialogue: Dialogue, written: Written, member_id: int, at: datetime) -> bool:
    """Keep an answer in a profile field of the brand's own; False where the field does not take it any more."""
    values = {written.field.removeprefix(OWN): written.value}
    try:
        member_services.say(member_id=member_id, source=DIALOGUE, values=values, at=at, by=dialogue.name)
    except ProfileValueInvalid:
        return False  # the field has changed since the question was put: the next message is answered by that
    return True


def _note(follower: Follower, push: Push, turn: Turn, *, heard: bool, said: bool) -> ReplyRecord:
    granted = granted_by(push)
    until = push.event_at + (granted.lasts if granted else timedelta())
    way, why = (Way.PASSIVE, "IN_TIME") if heard else (Way.SERVICE, "OVERTAKEN" if said else "LATE")
    waiting = [] if heard or not turn.text else [{"msgtype": "text", "text": {"content": turn.text}}]
    if waiting and push.received_at >= until:
        way, why, waiting = Way.PERSON, "WINDOW_CLOSED", []
    record = ReplyRecord(
        push_id=push.push_id,
        account_id=push.account_id,
        follower=follower,
        trigger=Trigger.KEYWORD if push.kind == "text" else Trigger.CLICK,
        way=way,
        why=why,
        state=ReplyState.WAITING if waiting else ReplyState.DONE,
        waiting=waiting,
        until=until if waiting else None,
        at=push.received_at,
    )
    ReplyRecord.objects.get_queryset().insert_new(record)
    return record
