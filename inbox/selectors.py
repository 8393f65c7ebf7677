"""Questions about conversations: who may see which, what waits, what may be sent, how fast people were answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q

from accounts.models import RoleGrant, StaffUser
from accounts.roles import DataScope, Role, allows
from accounts.tenancy import current_brand_id, reporting
from common.postgres.planning import in_order
from guides.models import Assignment, Guide
from inbox.models import (
    Agent,
    AgentTask,
    Attachment,
    CannedReply,
    Conversation,
    ConversationState,
    Hop,
    InboxPolicy,
    Level,
    Message,
    ReplyLedger,
    SendState,
    ServiceHours,
    TaskKind,
)
from inbox.routing import IN_HAND_FOR, PRESENT_FOR, Case, Seat, Shift
from inbox.words import wanted
from members.models import Member
from members.segments import crossed
from members.selectors import name_begins, visible_members
from stores.models import Store
from stores.selectors import brand_zone, hours_at, opening_hours, store_ids_of_grant, time_within
from wechat_gateway import windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from django.db.models import QuerySet

    from accounts.viewer import Viewer
    from stores.selectors import Hours
    from wechat_gateway.events import Push

PAGE: Final = 40
THREAD: Final = 60
COUNTED_TO: Final = 99
_COUNTED: Final = 2_000  # live conversations looked at for the figures of the lists
LIVE: Final = (ConversationState.WAITING, ConversationState.OPEN)
PAGES: Final = 50  # further than this, people search instead
_FOUND: Final = 300  # newest lines with the words that a search looks at
_LOOKED_AT: Final = 200  # people whose names begin as somebody typed
_NEWEST: Final = 10_000  # lines that are looked through for words said often


# --- what may be sent -------------------------------------------------------------------------------------------------


def ledger_from(row: ReplyLedger) -> windows.Ledger:
    """Give a stored ledger as the law reads it."""
    return windows.Ledger(row.message_at, row.menu_at, row.follow_at, row.scan_at, row.left_at, tuple(row.sends))


def ledger_of(follower_id: int) -> windows.Ledger:
    """Give a follower's ledger; an empty one for somebody who never did anything."""
    row = ReplyLedger.objects.filter(follower_id=follower_id).first()
    return ledger_from(row) if row else windows.Ledger()


def allowances(follower_ids: Iterable[int], *, at: datetime) -> dict[int, windows.Allowance]:
    """Give what may be sent to each of these followers at a moment, in one query."""
    wanted_ids = list(follower_ids)
    rows = {row.follower_id: row for row in ReplyLedger.objects.filter(follower_id__in=wanted_ids)}
    return {pk: windows.allowance(ledger_from(rows[pk]) if pk in rows else windows.Ledger(), at) for pk in wanted_ids}


def allowance_of(follower_id: int, *, at: datetime) -> windows.Allowance:
    """Give what may be sent to a follower at a moment."""
    return windows.allowance(ledger_of(follower_id), at)


def within_allowance(*, at: datetime, account_id: int | None = None) -> Exists:
    """Narrow members to those whom a customer-service message may reach (of one account, if given)."""
    open_ones = ReplyLedger.objects.filter(
        follower__member=OuterRef("pk"), follower__subscribed=True, open_until__gt=at
    )
    return Exists(open_ones.filter(follower__account=account_id) if account_id is not None else open_ones)


def allowances_ending(since: datetime, until: datetime) -> list[QuerySet[Any]]:
    """Give the ids of members to whom the time for a customer-service message has ended between two moments."""
    return [crossed(ReplyLedger.objects.all(), "follower__member_id", "open_until", since, until)]


# --- conversations ----------------------------------------------------------------------------------------------------


def visible_conversations(viewer: Viewer) -> QuerySet[Conversation]:
    """Give the conversations a viewer may see: the brand's, those of own stores, or of own members; and their own."""
    rows = Conversation.objects.all()
    if viewer.scope == DataScope.BRAND:
        return rows
    mine = Q(assignee_id=viewer.staff_id)
    if viewer.scope == DataScope.STORES:
        return rows.filter(mine | Q(store_id__in=store_ids_of_grant(viewer.grant_id)))
    return rows.filter(mine | Q(follower__member__in=visible_members(viewer).values("pk")))


def was_sent(conversation_id: int, client_key: UUID) -> bool:
    """Say whether what a page was about to send with a key stands in the conversation already."""
    return Message.objects.filter(conversation_id=conversation_id, client_key=client_key).exists()


def lines_under_way(*, at: datetime) -> QuerySet[Message]:
    """Give the messages of ours that somebody has to look after now, without those that are tried again later."""
    rows = Message.objects.filter(state__in=[SendState.QUEUED, SendState.SENDING])
    return rows.filter(Q(due_at=None) | Q(due_at__lte=at))


def held_lines(*, appid: str = "") -> QuerySet[Message]:
    """Give the messages of ours that did not leave and are tried again (of one account, if given)."""
    rows = Message.objects.filter(state=SendState.QUEUED, due_at__isnull=False)
    return rows.filter(conversation__account__appid=appid) if appid else rows


def listed(viewer: Viewer, view: str) -> QuerySet[Conversation]:
    """Give a list's conversations: mine (who waits longest, then the newest), unassigned, waiting, all, held.

    All have the newest first; held are those with a message of ours that is tried again, "held-" and the appid of an
    account those of the account.
    """
    rows = visible_conversations(viewer).select_related("follower__member", "assignee", "store")
    if view == "mine":
        mine = rows.filter(assignee_id=viewer.staff_id, state__in=LIVE)
        return mine.order_by(F("waiting_since").asc(nulls_last=True), "-last_at", "-pk")
    if view == "unassigned":
        return rows.filter(state=ConversationState.WAITING, assignee__isnull=True).order_by("waiting_since", "pk")
    if view == "waiting":
        return rows.filter(state=ConversationState.WAITING).order_by("waiting_since", "pk")
    if view.startswith("held"):
        rows = rows.filter(pk__in=held_lines(appid=view.partition("-")[2]).values("conversation_id"))
    return rows.order_by("-last_at", "-pk")


def waiting_counts(viewer: Viewer) -> dict[str, int]:
    """Give how many conversations stand in each list, in one query, counted no further than people read."""
    live = visible_conversations(viewer).filter(state__in=LIVE).order_by()
    waits = Q(state=ConversationState.WAITING)
    found: dict[str, int] = live.values("pk", "state", "assignee_id")[:_COUNTED].aggregate(
        mine=Count("pk", filter=Q(assignee_id=viewer.staff_id)),
        unassigned=Count("pk", filter=waits & Q(assignee_id=None)),
        waiting=Count("pk", filter=waits),
    )
    return found


def conversation_seen_by(viewer: Viewer, pk: int) -> Conversation | None:
    """Give a conversation with what its page shows; None when it is not there, or not for this viewer."""
    rows = visible_conversations(viewer).select_related("follower__member__store", "account", "assignee", "store")
    return rows.filter(pk=pk).first()


@dataclass(frozen=True)
class Window:
    """Some lines of a conversation, oldest first, and whether there are others before and after them."""

    lines: list[Message]
    earlier: bool = False
    later: bool = False


def thread(conversation: Conversation, *, before: int | None = None) -> list[Message]:
    """Give the newest lines of a conversation, or those before a line of it, oldest first."""
    return window(conversation, before=before).lines


def window(
    conversation: Conversation, *, before: int | None = None, after: int | None = None, around: int | None = None
) -> Window:
    """Give the newest lines of a conversation, or those before, after or around a line of it, oldest first.

    A line that is not in this conversation (any more) names none: the newest are given.
    """
    named = next((pk for pk in (before, after, around) if pk is not None), None)
    rows = Message.objects.filter(conversation=conversation)
    edge = rows.filter(pk=named).values_list("at", "pk").first() if named is not None else None
    shown = rows.select_related("author", "attachment")
    if edge is None:
        older = list(shown.order_by("-at", "-pk")[: THREAD + 1])
        return Window(older[:THREAD][::-1], earlier=len(older) > THREAD)
    at, pk = edge
    # The first condition lets the index begin there, the second leaves out what was said in the same moment.
    earlier = shown.filter(at__lte=at).filter(Q(at__lt=at) | Q(pk__lt=pk)).order_by("-at", "-pk")
    later = shown.filter(at__gte=at).filter(Q(at__gt=at) | Q(pk__gt=pk)).order_by("at", "pk")
    if before is not None:
        older = list(earlier[: THREAD + 1])
        return Window(older[:THREAD][::-1], earlier=len(older) > THREAD, later=True)
    if after is not None:
        newer = list(later[: THREAD + 1])
        return Window(newer[:THREAD], earlier=True, later=len(newer) > THREAD)
    half = THREAD // 2
    older, newer = list(earlier[: half + 1]), list(later[: half + 1])
    return Window(
        [*older[:half][::-1], *shown.filter(pk=pk), *newer[:half]], earlier=len(older) > half, later=len(newer) > half
    )


def hops_of(conversation: Conversation) -> list[Hop]:
    """Give the newest steps of finding who answers, oldest first."""
    return list(reversed(Hop.objects.filter(conversation=conversation).order_by("-pk")[:12]))


def open_tasks_of(conversation: Conversation) -> list[AgentTask]:
    """Give what people still have to do about a conversation."""
    rows = AgentTask.objects.filter(conversation=conversation, done_at__isnull=True).select_related("staff_user")
    return list(rows.order_by("due_at", "pk"))


def tasks_for(viewer: Viewer, *, at: datetime) -> QuerySet[AgentTask]:
    """Give what a viewer has to do: their own tasks and, in their conversations, nobody's.

    What somebody was given to do until a moment stands there at once, everything else from its moment on.
    """
    given = Q(kind=TaskKind.FOLLOW_UP, due_at__isnull=False)
    rows = AgentTask.objects.filter(Q(due_at__lte=at) | given, done_at__isnull=True)
    rows = rows.filter(Q(staff_user_id=viewer.staff_id) | Q(staff_user__isnull=True))
    if viewer.scope != DataScope.BRAND:
        rows = rows.filter(
            Q(staff_user_id=viewer.staff_id) | Q(conversation__in=visible_conversations(viewer).values("pk"))
        )
    return rows.select_related("conversation__follower__member").order_by("due_at", "pk")


def search(viewer: Viewer, term: str, *, limit: int = PAGE) -> list[Conversation]:
    """Find conversations by name, phone tail, or what was said in them; newest first."""
    return [row for row, _line in hits(viewer, term, limit=limit)]


def hits(viewer: Viewer, term: str, *, limit: int = PAGE, start: int = 0) -> list[tuple[Conversation, int | None]]:
    """Find conversations as `search` does, each with its newest line in which the words stand (None: the person)."""
    term = term.strip()[:60]
    if not term:
        return []
    lines = _with_words(viewer, term, start + limit)
    ids = [*_with_people(viewer, term, start + limit), *lines]
    rows = visible_conversations(viewer).select_related("follower__member", "assignee", "store")
    found = rows.filter(pk__in=ids).order_by("-last_at", "-pk")[start : start + limit]
    return [(row, lines.get(row.pk)) for row in found]


def _with_people(viewer: Viewer, term: str, most: int) -> list[int]:
    people = Member.objects.filter(merged_into__isnull=True, erased_at__isnull=True)
    alike = people.filter(name_begins(term)).order_by("brand", "name", "pk")  # as the index has them
    with in_order():
        ids = list(alike.values_list("pk", flat=True)[:_LOOKED_AT])
    if term.isdigit() and len(term) == 4:
        ids += people.filter(phone_tail=term).order_by("pk").values_list("pk", flat=True)[:_LOOKED_AT]
    if not ids:
        return []
    rows = visible_conversations(viewer).filter(follower__member_id__in=ids)
    return list(rows.order_by("-last_at", "-pk").values_list("pk", flat=True)[:most])


# What is said often is found among the newest lines; only what is said seldom needs its index, and has few lines there.
# One way for both would read all lines of a frequent word to sort them. The cast lets the index use the brand as well.
_NEWEST_SQL = """
SELECT n.conversation_id, n.id FROM (
  SELECT m.conversation_id, m.grams, m.at, m.id FROM inbox_message m
  WHERE m.brand_id = %(brand)s ORDER BY m.brand_id, m.at DESC, m.id DESC LIMIT %(newest)s
) n WHERE n.grams @> %(words)s::varchar[]{narrow} ORDER BY n.at DESC, n.id DESC LIMIT %(limit)s
"""
_WORDS_SQL = """
SELECT n.conversation_id, n.id FROM inbox_message n
WHERE n.brand_id = %(brand)s::bigint AND n.grams @> %(words)s::varchar[]{narrow}
ORDER BY n.at DESC, n.id DESC LIMIT %(limit)s
"""


def _with_words(viewer: Viewer, term: str, most: int) -> dict[int, int]:
    """Give the conversations in which the words were said, each with the newest line that has them."""
    needed = wanted(term)
    if not needed:
        return {}
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "words": needed,
        "newest": _NEWEST,
        "limit": _FOUND,
    }
    narrow = ""
    if viewer.scope != DataScope.BRAND:
        values["visible"] = list(_visible_ids(viewer))
        narrow = " AND n.conversation_id = ANY (%(visible)s::bigint[])"
    # As the reports role: behind row security the index of an array is not used, for its operators are not leakproof.
    with reporting(values["brand"]), connection.cursor() as cursor:
        with in_order():
            cursor.execute(_NEWEST_SQL.format(narrow=narrow), values)
        found = _newest_of_each(cursor.fetchall())
        if len(found) < most:
            cursor.execute(_WORDS_SQL.format(narrow=narrow), values)
            found = _newest_of_each(cursor.fetchall())
    return found


def _newest_of_each(rows: list[tuple[int, int]]) -> dict[int, int]:
    return dict(reversed(rows))  # the newest come first, so they are written last


def _visible_ids(viewer: Viewer) -> QuerySet[Conversation, int]:
    return visible_conversations(viewer).order_by("-last_at", "-pk").values_list("pk", flat=True)[:5_000]


def canned_replies(term: str = "") -> QuerySet[CannedReply]:
    """Give the texts whose shortcut or title begins with, or contains, what was typed; the most used first."""
    rows = CannedReply.objects.order_by("-used", "shortcut")
    if term:
        rows = rows.filter(Q(shortcut__istartswith=term) | Q(title__icontains=term))
    return rows


# --- who answers ------------------------------------------------------------------------------------------------------


def seats(*, at: datetime, staff_ids: Sequence[int] | None = None) -> list[Seat]:
    """Give everybody who answers, with how much they have in hand now; in two queries."""
    rows = Agent.objects.select_related("staff_user").order_by("pk")
    if staff_ids is not None:
        rows = rows.filter(staff_user_id__in=staff_ids)
    found = list(rows)
    loads = loads_of([row.staff_user_id for row in found], at=at)
    return [seat_of(row, loads.get(row.staff_user_id, 0), at=at) for row in found]


def seat_of(row: Agent, load: int, *, at: datetime) -> Seat:
    """Give an agent as the routing sees them."""
    return Seat(
        staff_id=row.staff_user_id,
        name=str(row.staff_user),
        level=row.level,
        store_ids=frozenset(row.store_ids),
        capacity=row.capacity,
        load=load,
        present=is_present(row, at=at),
        last_assigned_at=row.last_assigned_at,
    )


def is_present(row: Agent, *, at: datetime) -> bool:
    """Say whether an agent is on duty and their console was open a moment ago."""
    return row.on_duty and row.seen_at is not None and row.seen_at > at - PRESENT_FOR


def loads_of(staff_ids: Sequence[int], *, at: datetime) -> dict[int, int]:
    """Give how many conversations each person has in hand: those that wait, and those answered a while ago at most."""
    rows = Conversation.objects.filter(assignee_id__in=staff_ids, state__in=LIVE).order_by()
    rows = rows.filter(Q(state=ConversationState.WAITING) | Q(last_at__gt=at - IN_HAND_FOR))
    return {row["assignee_id"]: row["live"] for row in rows.values("assignee_id").annotate(live=Count("pk"))}


def case_of(conversation: Conversation, *, at: datetime, passed: frozenset[int] = frozenset()) -> Case:
    """Give what the routing has to know of a conversation."""
    member = Member.objects.select_related("store__region").get(pk=conversation.follower.member_id)
    own = (
        Assignment.objects.select_related("guide__store__region")
        .filter(member=member, until__isnull=True, guide__is_active=True)
        .first()
    )
    guide: Guide | None = own.guide if own else None
    store: Store | None = member.store or (guide.store if guide else None)
    zone = ZoneInfo(brand_zone())
    places = {each.pk for each in (store, guide.store if guide else None) if each is not None}
    hours = opening_hours(sorted(places), at=at, zone=zone)
    return Case(
        guide_staff_id=guide.staff_user_id if guide else None,
        guide_name=guide.name if guide else "",
        guide_shift=_shift(hours[guide.store_id], zone) if guide else Shift(),
        store_id=store.pk if store else None,
        store_name=store.name if store else "",
        region_name=store.region.name if store and store.region else "",
        store_shift=_shift(hours[store.pk], zone) if store else Shift(),
        desk_shift=desk_shift(at=at, zone=zone, times=service_times()),
        passed=passed,
    )


@dataclass(frozen=True)
class ServiceTimes:
    """When desk and regions are at work: by weekday, and on days that differ. Both empty: always."""

    week: dict[int, list[tuple[time, time]]]
    days: dict[date, list[tuple[time, time]]]

    def within(self, since: datetime, until: datetime, zone: ZoneInfo) -> timedelta | None:
        """Give how much of a span they are at work; None: all of it."""
        return time_within(since, until, self.week, self.days, zone) if self.week else None


def service_times() -> ServiceTimes:
    """Give when desk and regions are at work; without a week, always but on the days that differ."""
    week: dict[int, list[tuple[time, time]]] = {}
    days: dict[date, list[tuple[time, time]]] = {}
    closed = set()
    for row in ServiceHours.objects.order_by("day", "weekday", "opens"):
        spans = days.setdefault(row.day, []) if row.day is not None else week.setdefault(row.weekday, [])
        if row.opens is not None and row.closes is not None:
            spans.append((row.opens, row.closes))
        elif row.day is not None:
            closed.add(row.day)
    days |= {day: [] for day in closed}  # whatever hours stand beside it
    if days and not week:
        week = {weekday: [(time(0), time(0))] for weekday in range(7)}
    return ServiceTimes(week, days)


def desk_shift(*, at: datetime, zone: ZoneInfo, times: ServiceTimes) -> Shift:
    """Say whether desk and regions are at work."""
    return _shift(hours_at(at.astimezone(zone), times.week, times.days), zone) if times.week else Shift()


@dataclass(frozen=True)
class Desk:
    """What is the same for whoever writes: who answers, and when the desk does.

    `awaited` says that a colleague wants to know when somebody writes again.
    """

    zone: ZoneInfo
    times: ServiceTimes
    agents: tuple[Agent, ...]
    awaited: bool

    def shift(self, at: datetime) -> Shift:
        """Say whether the desk is at work."""
        return desk_shift(at=at, zone=self.zone, times=self.times)

    def is_there_for_all(self, at: datetime) -> bool:
        """Say whether the desk is at work and answers for every store: then nobody finds everything closed."""
        return self.shift(at).is_open and any(seat_of(row, 0, at=at).for_all for row in self.agents)


_OF_PUSH: Final = "inbox.desk"


def desk_for(push: Push) -> Desk:
    """Give the desk as of now: whoever asks first looks, for all who handle a push."""
    desk: Desk | None = push.found.get(_OF_PUSH)
    if desk is None:
        desk = push.found[_OF_PUSH] = desk_of_brand()
    return desk


def look_up_desk(pushes: Sequence[Push]) -> None:
    """Look up once for pushes what is the same for all of them."""
    desk = desk_of_brand()
    for push in pushes:
        push.found[_OF_PUSH] = desk


def desk_of_brand() -> Desk:
    """Give the desk of the brand in scope as of now."""
    awaited = AgentTask.objects.filter(kind=TaskKind.WRITES_AGAIN, due_at__isnull=True, done_at__isnull=True)
    agents = Agent.objects.select_related("staff_user").order_by("pk")
    return Desk(ZoneInfo(brand_zone()), service_times(), tuple(agents), awaited.exists())


def _shift(hours: Hours, zone: ZoneInfo) -> Shift:
    if hours.is_open or (hours.opens is None and not hours.today):
        return Shift()  # open, or nobody has said when
    if hours.opens is None or hours.opens_on is None:
        return Shift(is_open=False)
    return Shift(is_open=False, opens_at=datetime.combine(hours.opens_on, hours.opens, zone))


@dataclass(frozen=True)
class Post:
    """As what somebody answers, and for which stores (none: all)."""

    level: str
    store_ids: tuple[int, ...]


def post_of(staff_id: int) -> Post | None:
    """Give as what a person of the brand would answer; None without a role that answers.

    Region managers answer for their region, however few stores it has; the service desk with own stores is the desk of
    those. Whoever reaches no store answers for none, which is not the same as for all.
    """
    grant = RoleGrant.objects.filter(staff_user_id=staff_id).first()
    if grant is None or not allows(grant.role, "inbox.edit"):
        return None
    if grant.role == Role.GUIDE or grant.scope == DataScope.OWN:
        guide = Guide.objects.filter(staff_user_id=staff_id, is_active=True).order_by("pk").first()
        return Post(Level.GUIDE, (guide.store_id,) if guide else ())
    if grant.scope != DataScope.STORES:
        return Post(Level.DESK, ())
    stores = tuple(store_ids_of_grant(grant.pk))
    if grant.role == Role.SERVICE_DESK and stores:
        return Post(Level.DESK, stores)
    if grant.role == Role.REGION_MANAGER:
        return Post(Level.REGION, stores)
    return Post(Level.REGION if grant.role != Role.STORE_MANAGER and len(stores) > 1 else Level.STORE, stores)


def colleagues(conversation: Conversation, *, at: datetime) -> list[Seat]:
    """Give who could take over a conversation: present ones first, then by name."""
    people = [
        seat
        for seat in seats(at=at)
        if seat.staff_id != conversation.assignee_id
        and (seat.for_all or conversation.store_id is None or conversation.store_id in seat.store_ids)
    ]
    return sorted(people, key=lambda seat: (not seat.present, seat.name))


def staff_named(staff_id: int) -> StaffUser | None:
    """Give a person who has a role in the brand in scope."""
    if not RoleGrant.objects.filter(staff_user_id=staff_id).exists():
        return None
    return StaffUser.objects.filter(pk=staff_id).first()


def brands_with_work(*, at: datetime) -> list[int]:
    """Give the brands in whose inbox something is due; with every brand in scope."""
    due = (
        Conversation.objects.filter(state=ConversationState.WAITING),
        Conversation.objects.filter(state=ConversationState.SNOOZED, snoozed_until__lte=at),
        lines_under_way(at=at),
        Attachment.objects.filter(due_at__lte=at),
    )
    found: set[int] = set()
    for rows in due:
        found |= set(rows.order_by().values_list("brand_id", flat=True).distinct())
    return sorted(found)


# --- retention --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaving:
    """What would leave if conversations were kept for some days only: lines, files, whole conversations."""

    lines: int
    files: int
    conversations: int


_LEAVING_SQL = """
SELECT (SELECT count(*) FROM inbox_message m WHERE m.brand_id = %(brand)s AND m.at < %(old)s),
       (SELECT count(*) FROM inbox_message m JOIN inbox_attachment f
          ON f.brand_id = m.brand_id AND f.id = m.attachment_id
        WHERE m.brand_id = %(brand)s AND m.at < %(old)s AND f.path <> ''),
       (SELECT count(*) FROM inbox_conversation c
        WHERE c.brand_id = %(brand)s AND c.last_at < %(old)s AND c.state IN ('RESOLVED', 'OPEN')
          AND NOT EXISTS (SELECT 1 FROM inbox_message m
                          WHERE m.brand_id = c.brand_id AND m.conversation_id = c.id AND m.at >= %(old)s))
"""


def inbox_policy() -> InboxPolicy:
    """Give for how long the brand in scope keeps conversations."""
    return InboxPolicy.objects.first() or InboxPolicy()


def answered_long_ago(*, days: int, at: datetime) -> QuerySet[Conversation]:
    """Give the answered conversations in which nobody wrote for some days, without those that somebody has a task for.

    Answered is what waits for no person: somebody of the brand wrote last, or a rule said what there was to say.
    """
    given = AgentTask.objects.filter(
        conversation=OuterRef("pk"), done_at__isnull=True, due_at__isnull=False, kind=TaskKind.FOLLOW_UP
    )
    rows = Conversation.objects.filter(state=ConversationState.OPEN, last_at__lte=at - timedelta(days=days))
    return rows.exclude(Exists(given))


def leaving(*, keep_days: int, at: datetime) -> Leaving:
    """Give what would leave if conversations were kept for so many days: a dry run, nothing changes."""
    with connection.cursor() as cursor:
        cursor.execute(_LEAVING_SQL, {"brand": current_brand_id(), "old": at - timedelta(days=keep_days)})
        return Leaving(*cursor.fetchone())
