"""Questions about automatic answers."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import BigIntegerField, Case, Count, Exists, F, Func, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.models import Brand
from accounts.tenancy import current_brand_id
from common.clock import now
from common.errors import AppError
from conversations.answers import TAKES, item_of
from conversations.audiences import Audience, Person, Scan, audience_kinds, line_up
from conversations.engine import Facts, Rule, Rules, compile_rules, contents_of, rule_of
from conversations.menus import Change, TagMenuNow, field_changes, predicted
from conversations.models import (
    ButtonTap,
    ButtonUse,
    Dialogue,
    DialogueRun,
    DialogueVersion,
    LastTag,
    Menu,
    MenuVersion,
    ReplyRecord,
    ReplyRule,
    ReplyState,
    RunState,
    Suggestion,
    SuggestionState,
    TagMenu,
    Trigger,
    UnmatchedPhrase,
)
from conversations.patterns import normalised
from conversations.script import OWN, OwnField, State, Step, Turn, answer, begin, opened, own_faults, read_steps
from library.models import CopyState, MediaCopy
from library.selectors import media_named, permanent_media_ids, room_of
from members.figures import counted, figures
from members.models import Follower, Member, ProfileField, RemoteTag, RemoteTagging, Sensitivity
from members.profiles import DIALOGUE
from touchpoints.models import Touchpoint, TouchpointTag
from touchpoints.selectors import ends_of, in_use, welcomes_of
from wechat_gateway import incidents
from wechat_gateway.messages import CUSTOM_SEND
from wechat_gateway.models import MiniProgram, OfficialAccount
from wechat_gateway.quotas import SHANGHAI

if TYPE_CHECKING:
    from datetime import date

    from django.db.models import QuerySet

    from conversations.answers import Content
    from wechat_gateway.events import Push
    from wechat_gateway.models import Incident

logger = logging.getLogger(__name__)

MOST_COMPARED: Final = 2_000
TALK_LASTS: Final = timedelta(days=30)
_MOST_REMEMBERED: Final = 500
_remembered: OrderedDict[tuple[int, int], tuple[int, tuple[Rules, Dialogues]]] = OrderedDict()


def brand_zone() -> ZoneInfo:
    """Give the zone of the brand in scope."""
    return ZoneInfo(Brand.objects.values_list("timezone", flat=True).get(pk=current_brand_id()))


def held_by(incident: Incident) -> QuerySet[ReplyRecord]:
    """Give the answers whose messages wait because of an incident at WeChat."""
    rows = ReplyRecord.objects.filter(state=ReplyState.WAITING, account__appid=incident.appid)
    if incident.kind in (incidents.REVOKED, incidents.TOKEN):
        return rows
    if incident.kind in (incidents.QUOTA, incidents.PERMISSION) and incident.subject == CUSTOM_SEND:
        return rows
    return rows.none()


def rules_of(account_id: int) -> Rules:
    """Compile the enabled rules of an account, in order, with the welcome texts of its codes."""
    rows = list(ReplyRule.objects.filter(account_id=account_id, is_enabled=True).order_by("position", "pk"))
    return compiled_with(rows, account_id)


def compiled_with(rows: list[ReplyRule], account_id: int) -> Rules:
    """Compile these rules of an account with all that rules refer to."""
    welcomes = welcomes_of(account_id)
    return compile_rules(
        rows,
        scenes={scene: ("", welcome.text) for scene, welcome in welcomes.items()},
        said_until={scene: welcome.until for scene, welcome in welcomes.items() if welcome.until is not None},
        ends=ends_of(account_id),
        zone=brand_zone(),
        scans=_scans(account_id) if any(_welcomes_some(row) for row in rows) else {},
        audiences=_prepared(
            {Audience(row.audience_kind, row.audience_id) for row in rows if row.audience_kind and row.audience_id}
        ),
        media=media_of(rows, account_id),
    )


def items_of(row: ReplyRule) -> set[int]:
    """Give the files of the library that a rule sends."""
    return {item for content in contents_of(row) if (item := item_of(content)) is not None}


def file_fault(content: Content, account: OfficialAccount | None) -> dict[str, str]:
    """Say what is wrong with the file of the library that an answer sends, by field; {} when it can be sent."""
    item_id = item_of(content)
    if item_id is None or content.kind not in TAKES:
        return {}
    item = next((found for kind in TAKES[content.kind] if (found := media_named(item_id, kind))), None)
    if item is None:
        return {"media_id": _("This file is of another kind, or not in the library any more.")}
    if account is not None and not room_of(account.pk, item.kind).left:
        kept = MediaCopy.objects.filter(item=item, account=account, permanent=True)
        if not kept.exclude(state=CopyState.REFUSED).exists():
            return {"media_id": _("The account has no room for another permanent file of this kind.")}
    return {}


def media_of(rows: Iterable[ReplyRule], account_id: int) -> dict[int, str]:
    """Give WeChat's ids of the files that rules of an account send, those that it keeps for good."""
    items = set().union(*(items_of(row) for row in rows))
    return permanent_media_ids(items, account_id=account_id) if items else {}


def current_rules(account_id: int) -> Rules:
    """Give the compiled rules of an account as of now, compiled again only when they have changed."""
    return _current(account_id)[0]


_OF_PUSH: Final = "conversations.compiled"


def compiled_for(push: Push) -> tuple[Rules, Dialogues]:
    """Give the rules and dialogues of a push's account as of now: whoever asks first looks, for all who handle it."""
    compiled: tuple[Rules, Dialogues] | None = push.found.get(_OF_PUSH)
    if compiled is None:
        compiled = push.found[_OF_PUSH] = _current(push.account_id)
    return compiled


def look_up_rules(pushes: Sequence[Push]) -> None:
    """Compile what has changed for the accounts of pushes, once for all of them."""
    compiled = {account_id: _current(account_id) for account_id in sorted({push.account_id for push in pushes})}
    for push in pushes:
        push.found[_OF_PUSH] = compiled[push.account_id]


def forget_compiled() -> None:
    """Drop the compiled rules this process remembers; the next push compiles them again."""
    _remembered.clear()


def _current(account_id: int) -> tuple[Rules, Dialogues]:
    version = OfficialAccount.objects.values_list("replies_version", flat=True).get(pk=account_id)
    key = (current_brand_id(), account_id)
    known = _remembered.get(key)
    if known is not None and known[0] == version:
        _remembered.move_to_end(key)
        return known[1]
    compiled = rules_of(account_id), dialogues_of(account_id)
    _remembered[key] = (version, compiled)
    while len(_remembered) > _MOST_REMEMBERED:
        _remembered.popitem(last=False)
    return compiled


def facts_of(rules: Rules, account_id: int, openid: str, *, at: datetime) -> Facts:
    """Look a person up with one query: did they come back, and which audiences of the rules hold."""
    with connection.cursor() as cursor:
        cursor.execute(*facts_query(rules, account_id, openid, at=at))
        names = [column.name for column in cursor.description]
        return facts_in([dict(zip(names, row, strict=True)) for row in cursor.fetchall()], rules)


def facts_query(rules: Rules, account_id: int, openid: str, *, at: datetime) -> tuple[str, tuple[Any, ...]]:
    """Give the query of `facts_of` and its parameters; `facts_in` reads its row.

    Predicates are written once a minute for everybody of an account: "within seven days" is as of the minute's end.
    """
    minute = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    kept = rules.kept.get("predicates")
    if kept is None or kept[0] not in (minute, None):
        columns, params = _predicates(rules, minute)
        kept = rules.kept["predicates"] = (minute if columns else None, columns, params)
    with_touches = any(audience.kind == "channel" for audience in rules.audiences)
    return (
        f"SELECT p.left_at, p.tag_ids, p.touchpoint_ids{kept[1]} FROM conversations_person(%s, %s, %s) AS p",  # noqa: S608 - written by Django
        (*kept[2], account_id, openid, with_touches),
    )


def facts_in(rows: Sequence[Mapping[str, Any]], rules: Rules) -> Facts:
    """Read the row of `facts_query`; a stranger has none."""
    if not rows:
        return Facts()
    row = rows[0]
    person = Person(frozenset(row["tag_ids"]), frozenset(row["touchpoint_ids"] or ()))
    held = (
        audience
        for number, (audience, prepared) in enumerate(rules.audiences.items())
        if audience_kinds.get(audience.kind).holds(prepared, person, found=bool(row.get(f"found_{number}")))
    )
    return Facts(came_back=row["left_at"] is not None, holds=frozenset(held))


_ASKED_ABOUT: Final = Func(template="p.member_id", output_field=BigIntegerField())


def _predicates(rules: Rules, at: datetime) -> tuple[str, tuple[Any, ...]]:
    """Write what must be asked of `p` beyond what is always known, as more columns of the query."""
    columns, params = "", ()
    for number, (audience, prepared) in enumerate(rules.audiences.items()):
        try:
            predicate = audience_kinds.get(audience.kind).to_q(prepared, at)
        except AppError:  # a segment whose rule can no longer be used selects nobody
            logger.warning("the audience %s %s cannot be used", audience.kind, audience.value)
            continue
        if predicate is not None:
            people = Member.objects.filter(predicate, pk=_ASKED_ABOUT).values("pk")
            sql, more = people.query.sql_with_params()
            columns, params = f"{columns}, EXISTS ({sql}) AS found_{number}", (*params, *more)
    return columns, params


def _welcomes_some(row: ReplyRule) -> bool:
    return row.trigger in {Trigger.FOLLOW, Trigger.REFOLLOW} and bool(row.audience_kind)


def _prepared(audiences: set[Audience]) -> Mapping[Audience, Any]:
    found: dict[Audience, Any] = {}
    for kind_key in sorted({audience.kind for audience in audiences}):
        kind = audience_kinds.find(kind_key)
        if kind is not None:
            wanted = {audience.value for audience in audiences if audience.kind == kind_key}
            found |= {Audience(kind_key, value): ready for value, ready in kind.prepare(wanted).items()}
    return found


def _scans(account_id: int) -> dict[str, Scan]:
    above: dict[int, int | None] = dict(Touchpoint.objects.order_by("pk").values_list("pk", "parent_id"))
    leaves = Touchpoint.objects.filter(in_use(), account_id=account_id).exclude(scene="").order_by("pk")
    tags: dict[int, set[int]] = {}
    for touchpoint_id, tag_id in TouchpointTag.objects.order_by("pk").values_list("touchpoint_id", "tag_id"):
        tags.setdefault(touchpoint_id, set()).add(tag_id)
    return {
        scene: Scan(frozenset(line_up(pk, above)), frozenset(tags.get(pk, ())))
        for pk, scene in leaves.values_list("pk", "scene")
    }


@dataclass(frozen=True)
class Standing:
    """The rules that another is compared with, and how many there are beyond those."""

    rules: list[Rule]
    left_out: int = 0


def rules_to_compare(account_id: int, *, except_for: int | None = None, most: int | None = MOST_COMPARED) -> Standing:
    """Give the enabled keyword rules of an account, the first in order, ready to be compared with another."""
    rows = ReplyRule.objects.filter(account_id=account_id, is_enabled=True, trigger=Trigger.KEYWORD)
    if except_for is not None:
        rows = rows.exclude(pk=except_for)
    found = list(rows.order_by("position", "pk")[: most + 1 if most is not None else None])
    left_out = rows.count() - most if most is not None and len(found) > most else 0
    ready = (rule_of(row) for row in found[:most])
    return Standing([rule for rule in ready if rule is not None], left_out)


def dialogues_to_compare(account_id: int) -> list[Rule]:
    """Give what begins the dialogues of an account as rules that come before every other; their numbers are negative.

    Words begin a dialogue that is enabled and published, whoever writes them; rules are asked afterwards.
    """
    begun = DialogueVersion.objects.filter(dialogue=OuterRef("pk"))
    rows = Dialogue.objects.filter(Exists(begun), account_id=account_id, is_enabled=True).order_by("pk")
    return [
        Rule(-row.pk, row.name, Trigger.KEYWORD, (), position=-1, words=words)
        for row in rows
        if (words := tuple(word for each in row.keywords if (word := normalised(str(each)))))
    ]


def hits_of(rule_ids: list[int]) -> dict[int, int]:
    """Give how often rules answered within the last seven days: {rule: times}."""
    since = now() - timedelta(days=7)
    rows = ReplyRecord.objects.filter(rule_id__in=rule_ids, at__gte=since).values("rule_id")
    return {row["rule_id"]: row["times"] for row in rows.annotate(times=Count("pk")).order_by("rule_id")}


def open_suggestions() -> QuerySet[Suggestion]:
    """Give the suggestions nobody has dealt with, the most frequent first."""
    rows = Suggestion.objects.filter(state=SuggestionState.OPEN).select_related("account")
    return rows.order_by("-week", "-count", "pk")


def unmatched_phrases(week: date) -> QuerySet[UnmatchedPhrase]:
    """Give the messages of a week that no rule answered, the most frequent first."""
    return UnmatchedPhrase.objects.filter(week=week).select_related("account").order_by("-count", "pk")


@dataclass(frozen=True)
class Tagged:
    """A follower with the tags WeChat is known to hold, and the last of them when we know it."""

    openid: str
    remote_tag_ids: frozenset[int]
    last: int | None


def tags_at_wechat(account_id: int, follower_ids: Iterable[int]) -> dict[int, Tagged]:
    """Give the tags of these followers of an account, of those that have any: {follower: Tagged}."""
    held: dict[int, set[int]] = {}
    openids: dict[int, str] = {}
    asked = list(follower_ids)
    # By tag and person, as their index has them: an account has a hundred tags at most, and many people.
    there = list(RemoteTag.objects.filter(account_id=account_id).order_by("pk").values_list("pk", flat=True))
    rows = RemoteTagging.objects.filter(remote_tag__in=there, follower__in=asked, follower__subscribed=True)
    rows = rows.order_by("pk")
    for pk, openid, remote_id in rows.values_list("follower_id", "follower__openid", "remote_tag__remote_id"):
        held.setdefault(pk, set()).add(remote_id)
        openids[pk] = openid
    known = {
        pk: (last, set(ids))
        for pk, last, ids in LastTag.objects.filter(follower__in=asked, refused_code=None)
        .order_by("pk")
        .values_list("follower_id", "remote_tag_id", "remote_tag_ids")
    }
    found = {}
    for pk, tags in held.items():
        last, then = known.get(pk, (None, set()))
        if len(tags) == 1:
            last = next(iter(tags))
        elif then != tags:
            last = None
        found[pk] = Tagged(openids[pk], frozenset(tags), last)
    return found


@dataclass(frozen=True)
class Unsettled:
    """A follower whose last tag at WeChat has to be another one, with all their tags there."""

    follower_id: int
    openid: str
    wanted: int
    remote_tag_ids: tuple[int, ...]


# Only people with a tag that a menu is for are looked at, by the index of taggings; of them only those with several
# tags, for a single tag is the last one. Whoever is settled already has a row that says so and stays in the database.
_UNSETTLED_SQL: Final = """
WITH mine AS (
    SELECT t.follower_id, min(v.rank) AS rank
    FROM unnest(%(tags)s::bigint[]) WITH ORDINALITY AS v(tag, rank)
    JOIN members_remotetagging t ON t.brand_id = %(brand)s AND t.remote_tag_id = v.tag
    GROUP BY t.follower_id
), held AS (
    SELECT m.follower_id, min(m.rank) AS rank, array_agg(r.remote_id ORDER BY r.remote_id) AS tags
    FROM members_remotetag r
    JOIN members_remotetagging t ON t.brand_id = r.brand_id AND t.remote_tag_id = r.id
    JOIN mine m ON m.follower_id = t.follower_id
    WHERE r.brand_id = %(brand)s AND r.account_id = %(account)s
    GROUP BY m.follower_id HAVING count(*) > 1
)
SELECT h.follower_id, f.openid, w.remote_id, h.tags
FROM held h
JOIN unnest(%(remote)s::bigint[]) WITH ORDINALITY AS w(remote_id, rank) ON w.rank = h.rank
JOIN members_follower f ON f.brand_id = %(brand)s AND f.id = h.follower_id AND f.subscribed
WHERE NOT EXISTS (
    SELECT 1 FROM conversations_lasttag l
    WHERE l.brand_id = %(brand)s AND l.follower_id = h.follower_id
      AND l.remote_tag_id = w.remote_id AND l.remote_tag_ids = to_jsonb(h.tags)
)
ORDER BY h.follower_id LIMIT %(most)s
"""


def unsettled_people(account_id: int, *, most: int) -> list[Unsettled]:
    """Give at most so many whose last tag has to be another one: that of the most important menu among their tags."""
    menu = Menu.objects.filter(account_id=account_id).first()
    # Published with the most important one last.
    wanted = list(dict.fromkeys(row["remote_tag_id"] for row in reversed(menu.remote if menu else [])))
    known = dict(RemoteTag.objects.filter(account_id=account_id).values_list("remote_id", "pk")) if wanted else {}
    there = [remote_id for remote_id in wanted if remote_id in known]
    if not there:
        return []
    values: dict[str, Any] = {
        "brand": current_brand_id(), "account": account_id, "most": most,
        "tags": [known[remote_id] for remote_id in there], "remote": there,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_UNSETTLED_SQL, values)
        return [Unsettled(pk, openid, best, tuple(tags)) for pk, openid, best, tags in cursor.fetchall()]


def differences_at_wechat(menu: Menu) -> list[tuple[int | None, Change]]:
    """Give what WeChat gave back after publishing otherwise than it was given: (personalised menu, difference).

    None stands for the default menu. Empty as well while nothing was compared.
    """
    if menu.fetched_at is None:
        return []
    found: list[tuple[int | None, Change]] = [(None, each) for each in field_changes(menu.published, menu.fetched)]
    if menu.fetched_tag_menus is None:
        return found
    there = {row["menuid"]: row for row in menu.fetched_tag_menus}
    for row in menu.remote:
        theirs = there.get(row["menuid"])
        if theirs is None:
            found.append(
                (
                    row["tag_menu_id"],
                    Change(_("The whole menu"), pgettext("menu", "there"), pgettext("menu", "missing")),
                )
            )
            continue
        if theirs["remote_tag_id"] not in (None, row["remote_tag_id"]):
            ours, other = str(row["remote_tag_id"]), str(theirs["remote_tag_id"])
            found.append((row["tag_menu_id"], Change(_("Tag"), ours, other)))
        found += [(row["tag_menu_id"], each) for each in field_changes(row["buttons"], theirs["buttons"])]
    return found


@dataclass(frozen=True)
class RefusedTagging:
    """A follower who could not be given the tag of their menu, and WeChat's code."""

    member_id: int
    code: int


def refused_taggings(account_id: int) -> list[RefusedTagging]:
    """Give the followers of an account whom WeChat refused the tag of their menu, the latest first."""
    rows = LastTag.objects.filter(
        follower__account_id=account_id, follower__subscribed=True, refused_code__isnull=False
    ).order_by("-at", "-pk")
    return [
        RefusedTagging(member, code or 0) for member, code in rows.values_list("follower__member_id", "refused_code")
    ]


def menus_now(account_id: int) -> list[TagMenuNow]:
    """Give the personalised menus as they are at WeChat, in the order in which they were added."""
    menu = Menu.objects.filter(account_id=account_id).first()
    return [
        TagMenuNow(row["tag_menu_id"], row["remote_tag_id"], row["buttons"]) for row in (menu.remote if menu else [])
    ]


def menus_seen(account_id: int, follower_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """Predict the buttons each follower sees: {follower: buttons}. WeChat's own answer is `calls.try_menu`."""
    menu = Menu.objects.filter(account_id=account_id).first()
    now_there = menus_now(account_id)
    asked = list(follower_ids)
    held = tags_at_wechat(account_id, asked)
    found = {}
    for pk in asked:
        person = held.get(pk)
        chosen = predicted(person.last if person else None, now_there)
        found[pk] = chosen.buttons if chosen else (menu.published if menu else [])
    return found


def people_of_menus(account_id: int, tag_menus: Sequence[TagMenu]) -> dict[int | None, int]:
    """Give how many followers are meant to see each personalised menu, None for the default one."""
    cases = [When(member__tag_ids__contains=[row.tag_id], then=Value(row.pk)) for row in tag_menus if row.is_enabled]
    rows = Follower.objects.filter(account_id=account_id, subscribed=True)
    if not cases:
        return {None: rows.count()}
    sorted_by = rows.annotate(sees=Case(*cases, default=None, output_field=BigIntegerField(null=True)))
    return {
        row["sees"]: row["people"] for row in sorted_by.values("sees").annotate(people=Count("pk")).order_by("sees")
    }


def people_of_menus_lately(
    account_id: int, tag_menus: Sequence[TagMenu], *, at: datetime
) -> tuple[dict[int | None, int], datetime]:
    """Give the same as a page shows it, and as of when: see `members.figures`."""
    rows = [[row.pk, row.tag_id, row.is_enabled] for row in tag_menus]
    found = counted("conversations.people_of_menus", {"account": account_id, "menus": rows}, at=at)
    return dict(found.value), found.as_of


@figures.add("conversations.people_of_menus")
def _people_of_menus(params: dict[str, Any], _at: datetime) -> list[tuple[int | None, int]]:
    menus = [TagMenu(pk=pk, tag_id=tag_id, is_enabled=is_enabled) for pk, tag_id, is_enabled in params["menus"]]
    return list(people_of_menus(params["account"], menus).items())


@dataclass(frozen=True)
class Dialogues:
    """What begins which dialogue of an account: {word or menu key: (version, its steps)}."""

    starts: Mapping[str, tuple[int, tuple[Step, ...]]]
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a selector has worked out for this account and wants to find again."""
    own: Mapping[str, OwnField] = field(default_factory=dict)
    """The brand's profile fields, where any version of a dialogue keeps answers in one."""

    def steps_of(self, version_id: int) -> tuple[Step, ...]:
        """Give the steps of one of these versions."""
        return next((steps for pk, steps in self.starts.values() if pk == version_id), ())


def dialogues_of(account_id: int) -> Dialogues:
    """Compile the enabled dialogues of an account by the words that begin them; an older dialogue keeps its word."""
    newest: dict[int, DialogueVersion] = {}
    uses_own = False
    rows = DialogueVersion.objects.filter(dialogue__account_id=account_id)
    for version in rows.select_related("dialogue").order_by("dialogue_id", "number"):
        if version.dialogue.is_enabled:
            newest[version.dialogue_id] = version
        uses_own = uses_own or any(str(row.get("field", "")).startswith(OWN) for row in version.steps)
    own = own_fields() if uses_own else {}
    starts: dict[str, tuple[int, tuple[Step, ...]]] = {}
    for version in newest.values():
        steps = opened(read_steps(version.steps), own)
        for word in version.dialogue.keywords:
            starts.setdefault(normalised(str(word)), (version.pk, steps))
    starts.pop("", None)
    return Dialogues(starts, own=own)


def own_fields() -> dict[str, OwnField]:
    """Give the brand's own profile fields as dialogues ask for them, by key."""
    return {
        row.key: OwnField(
            row.key,
            row.label,
            row.kind,
            tuple(row.choices),
            is_private=row.sensitivity != Sensitivity.PLAIN,
            listens=DIALOGUE in row.sources,
        )
        for row in ProfileField.objects.order_by("label", "pk")
    }


def closed_questions(dialogue_ids: list[int]) -> dict[int, str]:
    """Give why published dialogues leave a question out, those that do: its profile field takes no answer any more."""
    newest: dict[int, DialogueVersion] = {}
    for version in DialogueVersion.objects.filter(dialogue_id__in=dialogue_ids).order_by("dialogue_id", "number"):
        newest[version.dialogue_id] = version
    asked = {pk: read_steps(version.steps) for pk, version in newest.items()}
    if not any(step.own_key for steps in asked.values() for step in steps):
        return {}
    own = own_fields()
    found = {pk: own_faults(steps, own) for pk, steps in asked.items()}
    return {pk: faults[0].message for pk, faults in found.items() if faults}


def current_dialogues(account_id: int) -> Dialogues:
    """Give the dialogues of an account as of now."""
    return _current(account_id)[1]


UNTAPPED: Final = timedelta(days=30)
# Buttons whose taps WeChat tells us of, by what it tells.
_TOLD_BY: Final = {"view": "url", "miniprogram": "pagepath"}
_NOT_TOLD: Final = frozenset({"media_id", "article_id", "article_view_limited"})


@dataclass(frozen=True)
class Trouble:
    """A button that leads nowhere, or that nobody uses; `kind` is a key of `reasons.TROUBLES`."""

    path: str
    name: str
    kind: str
    about: str = ""


def troubles_of_menu(account_id: int, buttons: Sequence[Mapping[str, Any]], *, at: datetime) -> list[Trouble]:
    """Give the buttons of a menu that point to what is not there any more, or that nobody tapped for 30 days.

    Links are not opened. That a button was not tapped is said only of one that has been published all the time.
    """
    leaves = list(leaves_of(buttons))
    keys = {str(button.get("key")) for _path, button in leaves if button.get("key")}
    answered = _answered_keys(account_id) if keys else set()
    programs = _programs() if any(button.get("type") == "miniprogram" for _path, button in leaves) else {}
    gone = _media_gone(account_id, {str(button["media_id"]) for _path, button in leaves if button.get("media_id")}, at)
    idle = _untapped(account_id, at)
    found: list[Trouble] = []
    for path, button in leaves:
        kind, name = str(button.get("type")), str(button.get("name", ""))
        if kind in ("click", "scancode_waitmsg") and normalised(str(button.get("key"))) not in answered:
            found.append(Trouble(path, name, "NO_ANSWER", str(button.get("key"))))
        elif kind == "miniprogram" and not programs.get(str(button.get("appid")), False):
            known = str(button.get("appid")) in programs
            found.append(Trouble(path, name, "PROGRAM_OFF" if known else "PROGRAM_UNKNOWN", str(button.get("appid"))))
        elif kind == "media_id" and str(button.get("media_id")) in gone:
            found.append(Trouble(path, name, "MEDIA_GONE"))
        if kind not in _NOT_TOLD and tapped_by(button) in idle:
            found.append(Trouble(path, name, "UNTAPPED"))
    return found


def leaves_of(buttons: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every button that does something, with its place like `1` or `2.3` (from one)."""
    for index, button in enumerate(buttons, 1):
        children = button.get("sub_button") or []
        if not children:
            yield str(index), button
        for number, child in enumerate(children, 1):
            yield f"{index}.{number}", child


def tapped_by(button: Mapping[str, Any]) -> str:
    """Give what WeChat names when a button is tapped: its key, its link or its page."""
    return str(button.get(_TOLD_BY.get(str(button.get("type")), "key")) or "")[:300]


def button_names() -> dict[str, str]:
    """Give what the brand's buttons are called, by what WeChat names when they are tapped; one query."""
    newest = MenuVersion.objects.filter(account=OuterRef("account")).order_by("-number")
    rows = Menu.objects.annotate(personal=Subquery(newest.values("tag_menus")[:1])).order_by("pk")
    found: dict[str, str] = {}
    for draft, published, personal in rows.values_list("draft", "published", "personal"):
        for buttons in (published, *(each["buttons"] for each in personal or ()), draft):
            for _path, button in leaves_of(buttons):
                found.setdefault(tapped_by(button), str(button.get("name") or ""))
    return found


WEEK, MONTH = 7, 30


@dataclass(frozen=True)
class Uses:
    """What was made of a button in the last days: taps, by how many people, answered by us, opening a link or page."""

    taps: int = 0
    people: int = 0
    answered: int = 0
    opened: int = 0


@dataclass(frozen=True)
class MenuUses:
    """What was made of the buttons of a menu in the last 7 and 30 days, today included, by key; and as of when."""

    week: Mapping[str, Uses]
    month: Mapping[str, Uses]
    as_of: datetime

    def total(self, keys: Iterable[str]) -> Uses:
        """Add up the month of some buttons; people are not added, for one of them may use several."""
        found = [self.month[key] for key in set(keys) if key in self.month]
        return Uses(sum(u.taps for u in found), 0, sum(u.answered for u in found), sum(u.opened for u in found))


def uses_of_menu(account_id: int, *, at: datetime) -> MenuUses:
    """Give what was made of the buttons of an account's menus, counted as `members.figures` counts."""
    found = counted("conversations.uses_of_menu", {"account": account_id}, at=at)
    week, month = {}, {}
    for key, *figures_of in found.value:
        week[key], month[key] = Uses(*figures_of[:4]), Uses(*figures_of[4:])
    return MenuUses(week, month, found.as_of)


@figures.add("conversations.uses_of_menu")
def _uses_of_menu(params: dict[str, Any], at: datetime) -> list[list[Any]]:
    today = at.astimezone(SHANGHAI).date()
    asked: dict[str, Any] = {}
    for days in (WEEK, MONTH):
        lately = Q(day__gt=today - timedelta(days=days))
        asked[f"taps{days}"] = Coalesce(Sum("taps", filter=lately), 0)
        asked[f"people{days}"] = Count("follower", distinct=True, filter=lately)
        asked[f"answered{days}"] = Coalesce(Sum("answered", filter=lately), 0)
        asked[f"opened{days}"] = Coalesce(Sum("opened", filter=lately), 0)
    rows = ButtonUse.objects.filter(account_id=params["account"], day__gt=today - timedelta(days=MONTH))
    return [list(row) for row in rows.values("key").annotate(**asked).order_by("key").values_list("key", *asked)]


def _answered_keys(account_id: int) -> set[str]:
    """What a rule or a dialogue of the account answers when a button with that key is tapped."""
    rules = ReplyRule.objects.filter(account_id=account_id, is_enabled=True, trigger=Trigger.CLICK)
    found = {normalised(str(key)) for keys in rules.values_list("keywords", flat=True) for key in keys}
    return found | set(dialogues_of(account_id).starts)


def _programs() -> dict[str, bool]:
    return dict(MiniProgram.objects.values_list("appid", "is_active"))


def _media_gone(account_id: int, media_ids: set[str], at: datetime) -> set[str]:
    """Of ids that the library knows for the account, those that no longer work; others may come from elsewhere."""
    if not media_ids:
        return set()
    copies = MediaCopy.objects.filter(account_id=account_id)
    former = copies.filter(former_id__in=media_ids, permanent=True).order_by("pk").values_list("former_id", flat=True)
    rows = copies.filter(media_id__in=media_ids).select_related("item")
    return set(former) | {
        row.media_id
        for row in rows.order_by("pk")
        if row.state != CopyState.THERE
        or row.item.archived_at is not None
        or (not row.permanent and (row.expires_at is None or row.expires_at <= at))
    }


def _untapped(account_id: int, at: datetime) -> set[str]:
    """What everybody has seen in the menu for 30 days and nobody tapped."""
    since = at - UNTAPPED
    menu = Menu.objects.filter(account_id=account_id).first()
    if menu is None or menu.taps_since > since:
        return set()
    versions = MenuVersion.objects.filter(account_id=account_id, published_at__lte=at).order_by("-published_at", "-pk")
    shown: set[str] | None = None
    for version in versions.iterator(chunk_size=50):
        here = {
            tapped_by(button)
            for menus in (version.buttons, *(each["buttons"] for each in version.tag_menus))
            for _path, button in leaves_of(menus)
        }
        shown = here if shown is None else shown & here
        if version.published_at <= since:
            break
    else:
        return set()  # nothing was published 30 days ago
    tapped = ButtonTap.objects.filter(account_id=account_id, day__gte=since.astimezone(SHANGHAI).date())
    return (shown or set()) - set(tapped.order_by("key").values_list("key", flat=True).distinct()) - {""}


def running(account_id: int, openid: str, *, at: datetime, lock: bool = False) -> DialogueRun | None:
    """Give the talk somebody is in, None when there is none or it was left a month ago."""
    rows = _running(account_id, openid, at).select_related("version")
    return (rows.select_for_update(of=("self",)) if lock else rows).first()


def _running(account_id: int, openid: str, at: datetime) -> QuerySet[DialogueRun]:
    return DialogueRun.objects.filter(
        follower__account_id=account_id,
        follower__openid=openid,
        state=RunState.ACTIVE,
        updated_at__gt=at - TALK_LASTS,
    )


@dataclass(frozen=True)
class Talk:
    """A talk as it stands: by which version, at which question, since when."""

    version_id: int
    steps: tuple[Step, ...]
    state: State
    at: datetime


def talk_of(run: DialogueRun | None) -> Talk | None:
    """Give a stored talk as the engine takes it."""
    if run is None:
        return None
    state = State(run.step, run.answers, run.tries)
    return Talk(run.version_id, read_steps(run.version.steps), state, run.updated_at)


def talk_query(dialogues: Dialogues, account_id: int, openid: str, *, at: datetime) -> tuple[str, tuple[Any, ...]]:
    """Give the query for the talk somebody is in and its parameters; `talk_in` reads its row.

    Written once a minute for everybody of an account.
    """
    minute = at.replace(second=0, microsecond=0)
    kept = dialogues.kept.get("talk query")
    if kept is None or kept[0] != minute:
        rows = _running(account_id, _OPENID, minute)
        wanted = rows.values("version_id", "step", "answers", "tries", "updated_at", steps=F("version__steps"))
        kept = dialogues.kept["talk query"] = (minute, *wanted.order_by("pk")[:1].query.sql_with_params())
    _minute, sql, params = kept
    return sql, tuple(openid if value == _OPENID else value for value in params)


_OPENID: Final = "\x02openid"  # stands in a written query for the openid of whoever is asked about


def talk_and_facts_query(
    dialogues: Dialogues, rules: Rules, account_id: int, openid: str, *, at: datetime
) -> tuple[str, tuple[Any, ...]]:
    """Give one query for the talk somebody is in and for what rules ask about them; a stranger has no row."""
    facts, about = facts_query(rules, account_id, openid, at=at)
    talk, asked = talk_query(dialogues, account_id, openid, at=at)
    return f"SELECT f.*, t.* FROM ({facts}) AS f LEFT JOIN ({talk}) AS t ON true", (*about, *asked)  # noqa: S608 - of two written above


def has_facts(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether rows tell what rules ask about people."""
    return bool(rows) and "tag_ids" in rows[0]


def talk_in(rows: Sequence[Mapping[str, Any]]) -> Talk | None:
    """Read the row of `talk_query` or of `talk_and_facts_query`."""
    if not rows or rows[0]["version_id"] is None:
        return None
    row = rows[0]
    state = State(row["step"], row["answers"], row["tries"])
    return Talk(row["version_id"], read_steps(row["steps"]), state, datetime.fromisoformat(row["updated_at"]))


def turn_of(
    dialogues: Dialogues, rules: Rules | None, talk: Talk | None, push: Push, facts: Callable[[], Facts]
) -> tuple[Turn, int] | None:
    """Give what a dialogue makes of a push and the version that does; None when it is none of a dialogue's.

    A word that begins a dialogue begins it anew. A message that is no answer but that a keyword rule captures goes to
    the rule, and the question stands. `facts` looks the person up, for rules that are for some only.
    """
    word = normalised(push.content if push.kind == "text" else push.key)
    start = dialogues.starts.get(word)
    if start is not None:
        return begin(start[1]), start[0]
    if talk is None or push.kind != "text":
        return None
    turn = answer(opened(talk.steps, dialogues.own), talk.state, push.content)
    if not turn.understood and rules is not None:
        captured = rules.captures(push.content, push.received_at, None)
        if captured is None:
            captured = rules.captures(push.content, push.received_at, facts())
        if captured:
            return None
    return turn, talk.version_id


def talks_of(dialogue_ids: list[int]) -> dict[int, dict[str, int]]:
    """Give how many talks of dialogues stand where: {dialogue: {state: people}}."""
    rows = DialogueRun.objects.filter(version__dialogue_id__in=dialogue_ids).values("version__dialogue_id", "state")
    found: dict[int, dict[str, int]] = {}
    for row in rows.annotate(people=Count("pk")).order_by("version__dialogue_id", "state"):
        found.setdefault(row["version__dialogue_id"], {})[row["state"]] = row["people"]
    return found
