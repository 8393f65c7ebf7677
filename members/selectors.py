"""Questions about people: who may be seen, who they are, whom a rule selects."""

from __future__ import annotations

import re
import uuid
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BigIntegerField, Exists, Func, OuterRef, Q
from django.db.models.functions import Reverse
from django.utils.translation import gettext as _

from accounts.rest.callers import MemberPrincipal, SessionClaim
from accounts.roles import DataScope
from accounts.sealing import blind_index
from accounts.tenancy import current_brand_id, reporting
from common.postgres.planning import by_one_process, in_order
from common.registry import Registry
from members import sampling
from members.choices import PERSONAL, QUIET, carrier_key, topic_key
from members.freshness import people_of
from members.models import (
    Consent,
    ConsentPurpose,
    ConsentText,
    Flag,
    Follower,
    Identity,
    IdentityKind,
    Member,
    MemberTag,
    MiniProgramSession,
    OptOut,
    ProfileField,
    ProfileValue,
    Purpose,
    RightsRequest,
    Segment,
    Sensitivity,
    Snapshot,
    Tag,
    TagRule,
    Topic,
)
from members.personal import Person
from members.profiles import COMMON, PRECEDENCE, Said, masked, winner
from members.reach import carriers
from members.sampling import Figure, TooLongError, estimated, exactly, giving_up, matching_in_sample
from members.segments import matching
from stores.selectors import store_ids_of_grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.db.models import QuerySet

    from accounts.viewer import Viewer

SAMPLE = 20
_LOOKED_AT: Final = 200  # people whose names begin as somebody typed
_LAST: Final = "\U0010ffff"  # comes after everything a name goes on with (the database compares by code point)
_CARD: Final = re.compile(r"[!-~]{1,64}")
_OPENID_TAIL: Final = re.compile(r"(?=.*[A-Za-z_-])[A-Za-z0-9_-]{6,64}")
FEW = 20_000  # people of a preview that are named one by one
_MOST_OF_SAMPLE: Final = 1_000_000  # the sample of 64 million people

# How apps above narrow members to “own” ones of a viewer (say, a guide's): callable(viewer) -> Q on Member.
own_members: Registry[Callable[[Viewer], Q]] = Registry("own members", purpose="whom a role with the scope OWN sees")


@dataclass(frozen=True)
class PersonLine:
    """One person of a sample; phones stay masked."""

    id: int
    name: str
    member_no: str
    phone_masked: str
    subscribed: bool


@dataclass(frozen=True)
class Reach:
    """How many of a segment one carrier reaches."""

    key: str
    label: str
    people: Figure

    @property
    def count(self) -> int:
        """Give how many, whether counted or estimated."""
        return self.people.count


@dataclass(frozen=True)
class Preview:
    """What a rule selects at a moment: how many, a sample, and how many can be reached, per carrier and by any.

    `found` is how many people the sample could be drawn from: all of them, or those of the brand's fixed sample.
    """

    people: Figure
    sample: tuple[PersonLine, ...]
    reach: tuple[Reach, ...]
    reached: Figure
    found: int

    @property
    def count(self) -> int:
        """Give how many people, whether counted or estimated."""
        return self.people.count

    @property
    def reachable(self) -> int:
        """Give how many any way reaches, whether counted or estimated."""
        return self.reached.count

    @property
    def is_estimated(self) -> bool:
        """Say whether the figures are estimates."""
        return self.people.is_estimated


def visible_members(viewer: Viewer) -> QuerySet[Member]:
    """Give the members a viewer may see; merged records and people whose data was deleted are left out."""
    return records_within(viewer).filter(erased_at__isnull=True)


def records_within(viewer: Viewer) -> QuerySet[Member]:
    """Give the records a viewer may open, also what is left of people whose data was deleted; merged ones not."""
    people = Member.objects.filter(merged_into__isnull=True)
    if viewer.scope == DataScope.BRAND:
        return people
    if viewer.scope == DataScope.STORES:
        return people.filter(store_id__in=store_ids_of_grant(viewer.grant_id))
    own = Q(pk__in=[])
    for _key, narrow in own_members.items():
        own |= narrow(viewer)
    return people.filter(own)


def within_reach(people: QuerySet[Member], viewer: Viewer | None) -> QuerySet[Member]:
    """Narrow people to those a viewer may see by name; without a viewer nobody is left out."""
    if viewer is None or viewer.scope == DataScope.BRAND:
        return people
    return people.filter(pk__in=visible_members(viewer).values("pk"))


def find_members(viewer: Viewer, text: str, *, limit: int = 8) -> list[Member]:
    """Search visible members by name prefix, phone tail, card, member number or the tail of an OpenID.

    Of very many whose names begin alike the first by name are looked at; who was last in contact comes first. A query
    for each thing it could be: together in one they would read everybody of the brand, since row security lets only
    plain comparisons use an index.
    """
    text = text.strip()
    if not text:
        return []
    visible = visible_members(viewer)
    alike = visible.filter(name_begins(text)).order_by("brand", "name", "pk")[: max(limit, _LOOKED_AT)]
    with in_order() if viewer.scope == DataScope.BRAND else nullcontext():  # of a few stores it would read all names
        found = {row.pk: row for row in alike}
    if text.isascii() and text.isdigit():
        named = Q(member_no=text) | Q(phone_tail=text) if len(text) == 4 else Q(member_no=text)
        found |= {row.pk: row for row in visible.filter(named)}
    edges = Identity.objects.filter(ended_at__isnull=True)
    if _CARD.fullmatch(text):
        cards = edges.filter(kind=IdentityKind.CARD, value=text).values("member_id")
        found |= {row.pk: row for row in visible.filter(pk__in=cards)}
    if not found and _OPENID_TAIL.fullmatch(text):
        found = {row.pk: row for row in visible.filter(pk__in=_by_openid_end(text)).order_by("-pk")[:limit]}
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(found.values(), key=lambda row: (row.last_interaction_at or never, row.pk), reverse=True)[:limit]


def name_begins(text: str) -> Q:
    """Give the people whose names begin so, as a range: row security lets a pattern use no index."""
    return Q(name__gte=text, name__lt=f"{text}{_LAST}")


def _by_openid_end(text: str) -> list[int]:
    """Give who an OpenID that ends so belongs to; the index over turned OpenIDs is for the reports role."""
    turned = text[::-1]
    with reporting(current_brand_id()):
        edges = Identity.objects.filter(kind=IdentityKind.OPENID, ended_at__isnull=True).alias(end=Reverse("value"))
        found = edges.filter(end__gte=turned, end__lt=f"{turned}{_LAST}")
        return list(found.order_by("brand", "end", "pk").values_list("member_id", flat=True)[:_LOOKED_AT])


def preview(rule: object, *, at: datetime, viewer: Viewer | None = None) -> Preview:
    """Count, sample and reach of a rule before anything is saved. Raises `RuleInvalid`.

    Figures are the brand's; the sample names only people within reach of `viewer`. In a brand of very many people the
    figures are estimated, unless the rule finds so few that counting them is quick: nothing may be decided by them.
    """
    brand_id = current_brand_id()
    with reporting(brand_id):
        if not sampling.is_large():
            return preview_of(matching(rule, at=at), at=at, viewer=viewer)
        with by_one_process():
            shown = _preview(matching_in_sample(rule, at=at), at, viewer, estimated)
    try:
        with giving_up(sampling.EXACT_SECONDS):
            if shown.found < sampling.FEWEST:
                return preview_of(matching(rule, at=at), at=at, viewer=viewer)
            if len(shown.sample) < SAMPLE:  # of a few stores the sample may hold nobody
                with reporting(brand_id):
                    shown = replace(shown, sample=named(matching(rule, at=at), viewer))
    except TooLongError:
        return shown
    return shown


def preview_of(people: QuerySet[Member], *, at: datetime, viewer: Viewer | None = None) -> Preview:
    """Count, sample and reach of people, everybody looked at once; see `preview`."""
    with reporting(current_brand_id()):
        return _preview(people, at, viewer, exactly)


def how_many(rule: object, *, at: datetime) -> int:
    """Count everybody whom a rule selects. Raises `RuleInvalid`."""
    with reporting(current_brand_id()):
        return matching(rule, at=at).count()


def _preview(people: QuerySet[Member], at: datetime, viewer: Viewer | None, figure: Callable[[int], Figure]) -> Preview:
    """Make a preview; `figure` says what a number of people who were found stands for. Runs as the reports role."""
    few = FEW if figure is exactly else _MOST_OF_SAMPLE
    found = list(people.order_by().values_list("id", "last_interaction_at")[: few + 1])
    whole, of_ways = len(found), figure
    if few > FEW and whole > FEW:  # how they can be reached takes longer than finding them
        found = [row for row in found if sampling.is_in_quarter(row[0])]
        of_ways = partial(sampling.part_of, asked=len(found), whole=figure(whole))
    if len(found) <= few:  # the planner can be told how many they are
        whom = "SELECT * FROM unnest(%s::bigint[], %s::timestamptz[]) AS p(id, last_interaction_at)"
        values: list[Any] = [_array(pk for pk, _last in found), _array(last for _pk, last in found)]
    else:
        whom, params = _written(people, "id", "last_interaction_at")
        values = list(params)
    statement, more = _preview_statement(whom, at, viewer)
    with connection.cursor() as cursor:
        if len(found) > few:
            # Nobody can say beforehand how many a rule finds; comparing many with everybody never pays.
            cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(statement, [*values, *more])
        count, ids, *reached, reachable = cursor.fetchone()
        cursor.execute("SET LOCAL enable_nestloop = on")
    rows = Member.objects.only("name", "member_no", "phone_masked", "subscribed").in_bulk(ids or [])
    sample = tuple(
        PersonLine(row.pk, row.name, row.member_no, row.phone_masked, row.subscribed)
        for row in (rows[pk] for pk in ids or [] if pk in rows)
    )
    ways = carriers.items()
    reach = tuple(Reach(key, str(way.label), of_ways(number)) for (key, way), number in zip(ways, reached, strict=True))
    count = count if whole == len(found) else whole
    return Preview(figure(count), sample, reach, of_ways(reachable), count)


def named(people: QuerySet[Member], viewer: Viewer | None, first: int = 0) -> tuple[PersonLine, ...]:
    """Give twenty of some people by name, latest interaction first, of those within reach of a viewer."""
    rows = within_reach(people, viewer).only("name", "member_no", "phone_masked", "subscribed")
    rows = rows.order_by("-last_interaction_at", "-pk")[first : first + SAMPLE]
    return tuple(PersonLine(row.pk, row.name, row.member_no, row.phone_masked, row.subscribed) for row in rows)


def _array(values: Iterable[int | datetime | None]) -> str:
    """Write an array as PostgreSQL reads it fastest: as one text."""
    return "{" + ",".join("NULL" if each is None else f'"{each}"' for each in values) + "}"


def _written(people: QuerySet[Member], *columns: str) -> tuple[str, tuple[Any, ...]]:
    """Write a query as text; one that can find nobody (a scope without a store) is written as such."""
    try:
        text, params = people.order_by().values(*columns).query.sql_with_params()
    except EmptyResultSet:
        return f"SELECT {', '.join(_NOTHING[each] for each in columns)} WHERE false", ()
    return str(text), tuple(params)


_NOTHING: Final = {"id": "NULL::bigint AS id", "last_interaction_at": "NULL::timestamptz AS last_interaction_at"}
# The people of the statement, which names them before anything else.
_THEM: Final = Func(template="(SELECT id FROM people)", output_field=BigIntegerField())


def _preview_statement(whom: str, at: datetime, viewer: Viewer | None) -> tuple[str, list[Any]]:
    """Give one statement over `people` (id, last_interaction_at): how many, a sample, and how many each way reaches."""
    found = Member.objects.filter(pk__in=_THEM)
    parts, reached = [f"people AS MATERIALIZED ({whom})"], []
    values: list[Any] = []
    for number, (_key, way) in enumerate(carriers.items()):
        text, params = _written(way.narrow(found, at), "id")
        parts.append(f"way_{number} AS MATERIALIZED ({text})")
        values += params
        reached.append(f"way_{number}")
    shown = "people"
    if viewer is not None and viewer.scope != DataScope.BRAND:
        text, params = _written(within_reach(found, viewer), "id", "last_interaction_at")
        parts.append(f"shown AS MATERIALIZED ({text})")
        values += params
        shown = "shown"
    anybody = " UNION ".join(f"SELECT id FROM {each}" for each in reached)  # noqa: S608 - names of ours, here and below
    counts = [
        "(SELECT count(*) FROM people)",
        f"ARRAY(SELECT id FROM {shown} ORDER BY last_interaction_at DESC, id DESC LIMIT {SAMPLE})",  # noqa: S608
        *(f"(SELECT count(*) FROM {each})" for each in reached),  # noqa: S608
        f"(SELECT count(*) FROM ({anybody}) a)" if reached else "0",  # noqa: S608
    ]
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}", values


def segments() -> QuerySet[Segment]:
    """Give the brand's segments, newest change first."""
    return Segment.objects.order_by("-updated_at", "-pk")


def follower_by_openid(account_id: int, openid: str) -> Follower | None:
    """Give the follower behind an openid of an account."""
    return Follower.objects.select_related("member").filter(account_id=account_id, openid=openid).first()


def surviving(member: Member) -> Member:
    """Give the record a merged one became."""
    seen = set()
    while member.merged_into_id is not None and member.pk not in seen:
        seen.add(member.pk)
        member = Member.objects.get(pk=member.merged_into_id)
    return member


@dataclass(frozen=True)
class Word:
    """What one source says about a fact: `text` is empty where the value is sealed."""

    id: int
    source: str
    text: str
    sealed: bool
    at: datetime
    by: str
    is_stale: bool


@dataclass(frozen=True)
class Fact:
    """One fact of a profile with everything said about it, the word that counts first; `field` is None for common ones.

    `in_conflict`: sources say different things. Sealed words are compared without showing them.
    """

    key: str
    label: str
    field: ProfileField | None
    words: tuple[Word, ...]
    counts: Word | None
    in_conflict: bool


def profile_of(member_id: int, *, at: datetime, by_member: bool = False) -> list[Fact]:
    """Give the common facts about which something was said, and every field of the brand. Two queries.

    With `by_member` only what the member may see and change.
    """
    fields = list(ProfileField.objects.order_by("label", "pk"))
    rows: dict[str, list[ProfileValue]] = {}
    for row in ProfileValue.objects.filter(member_id=member_id).order_by("pk"):
        rows.setdefault(row.key, []).append(row)
    facts = [] if by_member else [_fact(key, each.label, None, rows.get(key, []), at) for key, each in COMMON.items()]
    facts = [fact for fact in facts if fact.words]
    wanted = [field for field in fields if field.by_member or not by_member]
    return facts + [_fact(field.key, field.label, field, rows.get(field.key, []), at) for field in wanted]


def _fact(key: str, label: Any, field: ProfileField | None, rows: list[ProfileValue], at: datetime) -> Fact:
    fresh_days = field.fresh_days if field else None
    since = None if fresh_days is None else at - timedelta(days=fresh_days)
    said = [row for row in rows if row.text or row.sealed]
    best = winner(
        (Said(row.source, row.at) for row in said),
        precedence=field.sources if field else PRECEDENCE,
        fresh_days=fresh_days,
        at=at,
    )
    ranked = sorted(said, key=lambda row: (row.source != best, -row.at.timestamp(), row.pk))
    words = tuple(
        Word(
            row.pk,
            row.source,
            seen(row, field),
            row.sealed is not None,
            row.at,
            row.by,
            since is not None and row.at < since,
        )
        for row in ranked
    )
    different = {row.sealed.reveal() if row.sealed else row.text for row in said}
    return Fact(key, str(label), field, words, words[0] if words else None, len(different) > 1)


def profile_fields(keys: Iterable[str] | None = None) -> list[ProfileField]:
    """Give the brand's own fields (or those with some keys) by name."""
    fields = ProfileField.objects.order_by("label", "pk")
    return list(fields if keys is None else fields.filter(key__in=list(keys)))


def words_that_count(
    member_ids: Iterable[int], fields: Sequence[ProfileField], *, at: datetime
) -> dict[int, dict[str, ProfileValue]]:
    """Give whose word counts for some fields of many people, by person and key: one query, the rule of `profile_of`."""
    found: dict[int, dict[str, list[ProfileValue]]] = {}
    if fields:
        rows = ProfileValue.objects.filter(member_id__in=list(member_ids), key__in=[field.key for field in fields])
        for row in rows.order_by("pk"):
            if row.text or row.sealed:
                found.setdefault(row.member_id, {}).setdefault(row.key, []).append(row)
    own = {field.key: field for field in fields}
    return {
        member_id: {key: _best(own[key], rows, at) for key, rows in by_key.items()}
        for member_id, by_key in found.items()
    }


def _best(field: ProfileField, rows: list[ProfileValue], at: datetime) -> ProfileValue:
    said = (Said(row.source, row.at) for row in rows)
    best = winner(said, precedence=field.sources, fresh_days=field.fresh_days, at=at)
    return next(row for row in rows if row.source == best)


def seen(row: ProfileValue, field: ProfileField | None) -> str:
    """Give what everybody may see of a value: all, the first letter, or nothing."""
    if row.sealed is None:
        return row.text
    return masked(row.sealed.reveal()) if field and field.sensitivity == Sensitivity.MASKED else ""


def flags_of(member_id: int) -> list[Flag]:
    """Give why somebody is left out."""
    return list(Flag.objects.filter(member_id=member_id).order_by("kind", "pk"))


def times_left_out(member_id: int) -> list[tuple[datetime | None, datetime | None]]:
    """Give the times in which somebody is left out of rewards and reports: since (None: the start), until (None: now).

    They may overlap.
    """
    rows = Flag.objects.filter(member_id=member_id).order_by("pk")
    return list(rows.values_list("since", "until"))


def is_left_out(member_id: int, *, at: datetime) -> bool:
    """Say whether what somebody did at a moment is left out of rewards and reports."""
    times = times_left_out(member_id)
    return any((since is None or since <= at) and (until is None or at < until) for since, until in times)


def number_today(member_no: str) -> str | None:
    """Give the number of the record that a merged one became; None for a number that nobody ever had."""
    gone = Member.objects.filter(member_no=member_no, merged_into__isnull=False).first()
    return surviving(gone).member_no if gone is not None else None


_SESSION_SQL = """
SELECT s.member_id, s.appid, s.openid FROM members_miniprogramsession s JOIN accounts_brand b ON b.id = s.brand_id
WHERE s.brand_id = %s AND s.public_id = %s AND s.expires_at > %s AND b.is_active
"""
_CARD_SQL = """
SELECT m.member_no, m.name, m.phone_masked, m.birth_mmdd, m.city, m.joined_at, m.subscribed, s.code, s.name
FROM members_member m LEFT JOIN stores_store s ON s.brand_id = m.brand_id AND s.id = m.store_id
WHERE m.brand_id = %s AND m.id = %s
"""


def principal_of_claim(claim: SessionClaim, at: datetime) -> MemberPrincipal | None:
    """Give whom a session stands for while it and its brand are alive; after a merge that is the record that stayed.

    Every call of a mini program asks this, so it is plain SQL: building the query costs the ORM more than running it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SESSION_SQL, [current_brand_id(), claim.session_id, at])
        row = cursor.fetchone()
    return MemberPrincipal(claim.brand_id, claim.session_id, *row) if row else None


def member_card(member_id: int) -> dict[str, Any]:
    """Give what a person sees about themselves, in one query: plain values, phone masked."""
    with connection.cursor() as cursor:
        cursor.execute(_CARD_SQL, [current_brand_id(), member_id])
        number, name, phone, birth, city, joined, following, store_code, store_name = cursor.fetchone()
    return {
        "member_no": number,
        "name": name,
        "phone": phone or None,
        "birthday": None if birth is None else f"{birth // 100:02d}-{birth % 100:02d}",
        "city": city,
        "joined_at": joined,
        "following": following,
        "store": None if store_code is None else {"code": store_code, "name": store_name},
    }


def shown_tags(member_id: int) -> list[tuple[str, str]]:
    """Give the tags of a member that the brand shows to members: name and group."""
    rows = MemberTag.objects.filter(member_id=member_id, tag__is_shown=True).order_by("tag__name", "pk")
    return list(rows.values_list("tag__name", "tag__group"))


def purposes() -> list[tuple[str, str]]:
    """Give what the brand may use data for: ours, and those it has added, as (code, name)."""
    own = ConsentPurpose.objects.filter(is_active=True).order_by("name", "pk").values_list("code", "name")
    return [(value, str(label)) for value, label in Purpose.choices] + list(own)


def purpose_words(keys: Iterable[str]) -> dict[str, str]:
    """Give the words of purposes and of people's choices by key; at most two queries, however many keys."""
    wanted = set(keys)
    said = {value: str(label) for value, label in Purpose.choices}
    said |= {PERSONAL: _("Personalised messages"), QUIET: _("Messages at any hour")}
    said |= {carrier_key(key): _("Offers and news by %(way)s") % {"way": way.label} for key, way in carriers.items()}
    if any(key.startswith("TOPIC:") for key in wanted):
        rows = Topic.objects.order_by("pk").values_list("pk", "name")
        said |= {topic_key(pk): _("Topic “%(name)s”") % {"name": name} for pk, name in rows}
    if wanted - set(said):
        said |= dict(ConsentPurpose.objects.order_by("pk").values_list("code", "name"))
    return {key: said.get(key, key) for key in wanted}


def texts_in_force(*, at: datetime) -> dict[str, ConsentText]:
    """Give the wordings that people are shown at a moment, by purpose."""
    rows = ConsentText.objects.filter(effective_at__lte=at).order_by("purpose", "-effective_at", "-pk")
    return {row.purpose: row for row in rows.distinct("purpose")}


def consent_behind(*, member_id: int, purpose: str, at: datetime) -> Consent | None:
    """Give the statement about a purpose that was in force for a person at a moment; their earlier records count."""
    people = [member_id]
    into = Member.objects.filter(pk=member_id).values_list("merged_into_id", flat=True).first()
    people += [into] if into else []
    rows = Consent.objects.filter(member_id__in=people, purpose=purpose, at__lte=at)
    return rows.order_by("-at", "-pk").first()


@dataclass(frozen=True)
class Preferences:
    """What somebody wants: topics and ways as (key, label, meaning, wanted), the hours of quiet, and the switch."""

    marketing: bool
    topics: list[tuple[str, str, str, bool]]
    ways: list[tuple[str, str, str, bool]]
    quiet: tuple[time, time] | None
    personal: bool
    minor: bool


def preferences_of(member_id: int) -> Preferences:
    """Give a person's choices; two queries."""
    rows = {row.purpose: row for row in OptOut.objects.filter(member_id=member_id).order_by("pk")}
    topics = Topic.objects.filter(is_active=True).order_by("name", "pk")
    quiet, marketing = rows.get(QUIET), rows.get(Purpose.MARKETING)
    return Preferences(
        marketing=marketing is None or not marketing.withdrawn,
        topics=[(row.code, row.name, row.meaning, topic_key(row.pk) not in rows) for row in topics],
        ways=[(key, str(way.label), "", carrier_key(key) not in rows) for key, way in carriers.items()],
        quiet=(quiet.quiet_from, quiet.quiet_until) if quiet and quiet.quiet_from and quiet.quiet_until else None,
        personal=PERSONAL not in rows,
        minor=marketing is not None and marketing.minor,
    )


def consents_in_force(member_id: int) -> dict[str, Consent]:
    """Give the newest statement of a person about each purpose.

    What two records of one person said may contradict each other: `granted` is False where a withdrawal still holds.
    """
    held = OptOut.objects.filter(member_id=member_id, purpose=OuterRef("purpose"), withdrawn=True).order_by()
    rows = Consent.objects.filter(member_id=member_id).annotate(held=Exists(held))
    newest: dict[str, Consent] = {
        row.purpose: row for row in rows.order_by("purpose", "-at", "-pk").distinct("purpose")
    }
    for row in newest.values():
        row.granted = row.granted and not row.held  # type: ignore[attr-defined] # annotated above
    return newest


def objectors() -> QuerySet[OptOut]:
    """Give the choices of those who want nothing decided for them automatically (PIPL 24); no rule tags them."""
    return OptOut.objects.filter(purpose=PERSONAL).order_by()


def records_of(member_id: int) -> list[int]:
    """Give a person's record and every record that was merged into it, by key."""
    people = [member_id]
    fresh = people
    while fresh:
        merged = Member.objects.filter(merged_into__in=fresh).exclude(pk__in=people)
        fresh = list(merged.order_by("pk").values_list("pk", flat=True))
        people = people + fresh
    return people


def person_of(member_id: int) -> Person:
    """Give a person in all their shapes: every record that was merged into theirs, their followers, their OpenIDs."""
    people = records_of(member_id)
    followers = list(
        Follower.objects.filter(member__in=people).order_by("pk").values_list("pk", "account_id", "openid")
    )
    programs = MiniProgramSession.objects.filter(member__in=people).order_by("pk").values_list("openid", flat=True)
    openids = [(account, openid) for _pk, account, openid in followers] + [(0, openid) for openid in programs]
    return Person(tuple(people), tuple(pk for pk, _account, _openid in followers), tuple(openids))


def requests_of(member_id: int) -> list[RightsRequest]:
    """Give a person's requests about their data, newest first."""
    return list(RightsRequest.objects.filter(member_id=member_id).order_by("-asked_at", "-pk")[:50])


def request_of(member_id: int, public_id: str) -> RightsRequest | None:
    """Give one request of a person by its id; None for anybody else's."""
    try:
        wanted = uuid.UUID(public_id)
    except ValueError:
        return None
    return RightsRequest.objects.filter(member_id=member_id, public_id=wanted).first()


@dataclass(frozen=True)
class Edge:
    """By what somebody is known, as other systems see it: never the whole value."""

    kind: str
    issuer: str
    masked: str
    source: str
    since: datetime
    until: datetime | None


def edges_today(member_id: int, *, at: datetime) -> QuerySet[Identity]:
    """Give the edges of a person that hold."""
    holds = Q(expires_at__isnull=True) | Q(expires_at__gt=at)
    return Identity.objects.filter(holds, member_id=member_id, ended_at__isnull=True)


def shown_edges(member: Member, rows: Iterable[Identity]) -> list[Edge]:
    """Mask the edges of a person."""
    return [
        Edge(row.kind, row.namespace, _masked_value(member, row), row.source, row.since, row.expires_at) for row in rows
    ]


def _masked_value(member: Member, row: Identity) -> str:
    if row.kind == IdentityKind.PHONE:  # the fingerprint says nothing to anybody
        return member.phone_masked if row.value == str(member.phone_index) else "****"
    shown = min(4, len(row.value) // 3)
    return f"****{row.value[len(row.value) - shown :]}"


def member_by_id(member_id: int) -> Member:
    """Give a member by key."""
    return Member.objects.get(pk=member_id)


@dataclass(frozen=True)
class Wanted:
    """Which people another system asks for; every given condition must hold.

    `phone` is E.164 and found by its fingerprint; `tag` is a name; `before` and `ids` are keys.
    """

    before: int | None = None
    member_no: str | None = None
    phone: str | None = None
    tag: str | None = None
    joined_since: datetime | None = None
    interacted_since: datetime | None = None
    ids: list[int] | None = None


class PersonRow(NamedTuple):
    """A person as the brand's other systems see them; the phone stays masked, tags are in order."""

    id: int
    member_no: str
    name: str
    phone: str
    birth_mmdd: int | None
    city: str
    store_code: str | None
    store_name: str | None
    tags: list[str]
    following: bool
    created_at: datetime
    joined_at: datetime | None
    last_interaction_at: datetime | None


# The list of people is read all day long, so it is plain SQL: one statement with the tags' names, no model in between.
_PEOPLE_SQL = """
SELECT m.id, m.member_no, m.name, m.phone_masked, m.birth_mmdd, m.city, s.code, s.name,
       ARRAY(SELECT t.name FROM members_tag t WHERE t.brand_id = m.brand_id AND t.id = ANY (m.tag_ids)
             ORDER BY t.name COLLATE "C"),
       m.subscribed, m.created_at, m.joined_at, m.last_interaction_at
FROM members_member m LEFT JOIN stores_store s ON s.brand_id = m.brand_id AND s.id = m.store_id
WHERE m.brand_id = %(brand)s AND m.merged_into_id IS NULL{conditions}
ORDER BY m.brand_id DESC, m.id DESC LIMIT %(limit)s
"""
_PEOPLE_CONDITIONS = {
    "before": "m.id < %(before)s",
    "member_no": "m.member_no = %(member_no)s",
    "phone": "m.phone_index = %(phone)s",
    "tag": "EXISTS (SELECT 1 FROM members_membertag mt JOIN members_tag t ON t.brand_id = mt.brand_id "
    "AND t.id = mt.tag_id WHERE mt.brand_id = m.brand_id AND mt.member_id = m.id AND t.name = %(tag)s)",
    "joined_since": "m.joined_at >= %(joined_since)s",
    "interacted_since": "m.last_interaction_at >= %(interacted_since)s",
    "ids": "m.id = ANY (%(ids)s)",
}


def people(wanted: Wanted, *, limit: int) -> list[PersonRow]:
    """Give at most `limit` people who meet every condition, newest contact first; merged records are left out."""
    brand_id = current_brand_id()
    given = {name: value for name, value in vars(wanted).items() if value is not None}
    if "phone" in given:
        given["phone"] = blind_index(brand_id, "phone", given["phone"])
    conditions = "".join(f" AND {_PEOPLE_CONDITIONS[name]}" for name in given)
    if "member_no" not in given:  # what is left of somebody whose data was deleted is found by its number alone
        conditions += " AND m.erased_at IS NULL"
    with connection.cursor() as cursor:
        cursor.execute(_PEOPLE_SQL.format(conditions=conditions), {**given, "brand": brand_id, "limit": limit})
        return [PersonRow(*row) for row in cursor.fetchall()]


def people_in(segment: Segment, *, at: datetime, before: int | None, limit: int) -> list[PersonRow]:
    """Give at most `limit` people of a segment, newest contact first, after the one with the key `before`."""
    with reporting(current_brand_id()):
        found = people_of(segment, at=at)
        rows = found if before is None else found.filter(pk__lt=before)
        ids = list(rows.order_by("-pk").values_list("pk", flat=True)[:limit])
    return people(Wanted(ids=ids), limit=limit) if ids else []


def tags() -> QuerySet[Tag]:
    """Give the brand's tags, newest first."""
    return Tag.objects.order_by("-pk")


def tags_by_name(names: Iterable[str]) -> dict[str, int]:
    """Give the ids of tags by name or synonym; a name comes before another tag's synonym."""
    wanted = set(names)
    found: dict[str, int] = {}
    for pk, name, synonyms in Tag.objects.filter(Q(name__in=wanted) | Q(synonyms__overlap=sorted(wanted))).values_list(
        "pk", "name", "synonyms"
    ):
        found.update({word: pk for word in synonyms if word in wanted and word not in found})
        if name in wanted:
            found[name] = pk
    return found


@dataclass(frozen=True)
class TagOnPerson:
    """A tag somebody carries: what it means, who or what put it there, since when and until when.

    `source` is who gave it ("" when only rules hold it), `rules` are the names of the automatic tags that hold it.
    `stale` says why it may no longer be true: "over" (its time is up), "aged" (older than such a tag lasts today),
    "unruled" (only automatic tags hold it, and none of them is looked at any more); "" while nothing speaks against it.
    """

    tag_id: int
    name: str
    group: str
    meaning: str
    owner: str
    source: str
    rules: tuple[str, ...]
    at: datetime
    expires_at: datetime | None
    stale: str = ""


_RULE_RESTS: Final = timedelta(hours=24)  # automatic tags look at everybody every six hours


def _stale(row: MemberTag, rules: Iterable[TagRule | None], at: datetime) -> str:
    if row.expires_at is not None and row.expires_at <= at:
        return "over"
    lasts = row.tag.lasts_days
    if row.given and row.expires_at is None and lasts is not None and row.at + timedelta(days=lasts) <= at:
        return "aged"
    looks = any(
        rule is not None
        and rule.is_on
        and rule.removed_at is None
        and not rule.problem
        and at - (rule.ran_at or rule.updated_at) <= _RULE_RESTS
        for rule in rules
    )
    return "" if row.given or looks else "unruled"


def tags_of(member_id: int, *, at: datetime) -> list[TagOnPerson]:
    """Give the tags somebody carries at a moment, newest first. Two queries."""
    rows = list(MemberTag.objects.select_related("tag").filter(member_id=member_id).order_by("-at", "-pk"))
    wanted = {rule_id for row in rows for rule_id in row.rule_ids}
    rules = TagRule.objects.in_bulk(list(wanted))
    return [
        TagOnPerson(
            row.tag_id,
            row.tag.name,
            row.tag.group,
            row.tag.meaning,
            row.tag.owner,
            row.source if row.given else "",
            tuple(rules[rule_id].name for rule_id in row.rule_ids if rule_id in rules),
            row.at,
            row.expires_at,
            _stale(row, [rules.get(rule_id) for rule_id in row.rule_ids], at),
        )
        for row in rows
    ]


def snapshots(grouping_id: int) -> QuerySet[Snapshot]:
    """Give the snapshots of a grouping, newest first."""
    return Snapshot.objects.filter(grouping_id=grouping_id).order_by("-at", "-pk")
