"""What people add to the home page and the search."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Case, Count, Q, Value, When
from django.db.models.functions import TruncDate
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from common.clock import now
from console import formats
from console.registry import Chart, Figure, Hit, SearchGroup, Series, Step, Todo, home_cards, search_groups
from members import services
from members.figures import counted
from members.figures import figures as kept_figures
from members.models import Follower, Member, RemoteTag
from members.selectors import visible_members
from wechat_gateway import incidents
from wechat_gateway.models import Incident, OfficialAccount

if TYPE_CHECKING:
    from datetime import date

    from django.db.models import QuerySet

    from accounts.viewer import Viewer

DAYS = 14
FOLLOWERS_AND_MEMBERS: Final = "members.followers_and_members"
# What keeps an account from being written to, or from being heard.
_SHUT_OUT = frozenset({incidents.REVOKED, incidents.TOKEN, incidents.CALLBACK})


def midnight(at: datetime) -> datetime:
    """Give the beginning of the day in the brand's zone."""
    return formats.local(at).replace(hour=0, minute=0, second=0, microsecond=0)


@home_cards.add("members.figures")
def figures(viewer: Viewer) -> list[Figure | Step] | None:
    """Give followers and members now, and how many joined in the seven whole days before today."""
    if not viewer.can("members.view"):
        return None
    at = now()
    if viewer.scope == "BRAND":
        found = counted(FOLLOWERS_AND_MEMBERS, {"today": midnight(at).isoformat()}, at=at)
        (following, members), as_of = found.value, found.as_of
    else:
        (following, members), as_of = _numbers(visible_members(viewer), midnight(at), at, only_theirs=True), at
    since = gettext("now") if as_of == at else f"{gettext('as of')} {formats.local_time(as_of)}"
    people_list = reverse("admin:members_member_changelist")
    follower_list = reverse("admin:members_follower_changelist")
    plus = gettext("today +%(number)s")
    return [
        Figure(
            gettext("Followers"),
            following["all"],
            f"{follower_list}?following=yes",
            since,
            detail=plus % {"number": formats.count(following["today"])},
            order=10,
        ),
        Figure(
            gettext("Members"),
            members["all"],
            f"{people_list}?view=members",
            since,
            detail=plus % {"number": formats.count(members["today"])},
            order=20,
        ),
        Figure(
            gettext("New members"),
            members["week"],
            f"{people_list}?view=joined",
            gettext("last 7 times 24 hours"),
            order=40,
        ),
        Step(
            gettext("See the first follower"),
            gettext("Scan the code with your own phone and follow."),
            bool(following["all"]),
            follower_list,
            gettext("See the followers"),
            40,
        ),
    ]


def _numbers(
    people: QuerySet[Member], today: datetime, at: datetime, *, only_theirs: bool
) -> tuple[dict[str, int], dict[str, int]]:
    followers = Follower.objects.filter(subscribed=True)
    if only_theirs:
        followers = followers.filter(member__in=people.values("pk"))
    asked = [
        rows.order_by()
        .values(kind=Value(kind))
        .annotate(
            all=Count("brand"),
            today=Count("brand", filter=Q(**{since: today})),
            week=Count("brand", filter=Q(**{since: at - timedelta(days=7)})),
        )
        for kind, rows, since in (
            ("followers", followers, "followed_at__gte"),
            ("members", people.filter(joined_at__isnull=False), "joined_at__gte"),
        )
    ]
    nobody = {"all": 0, "today": 0, "week": 0}
    found: dict[str, Any] = {row["kind"]: row for row in asked[0].union(asked[1], all=True)}
    return found.get("followers", nobody), found.get("members", nobody)


@kept_figures.add(FOLLOWERS_AND_MEMBERS)
def _followers_and_members(params: dict[str, Any], at: datetime) -> tuple[dict[str, int], dict[str, int]]:
    people = Member.objects.filter(merged_into__isnull=True, erased_at__isnull=True)
    return _numbers(people, datetime.fromisoformat(params["today"]), at, only_theirs=False)


@home_cards.add("members.growth")
def growth(viewer: Viewer) -> Chart | None:
    """Chart the net growth of followers over the fourteen whole days before today."""
    if not viewer.can("members.view") or viewer.scope != "BRAND":
        return None
    today = midnight(now())
    start = today - timedelta(days=DAYS)
    change = _change_per_day(start, today)
    days = [(start + timedelta(days=number)).date() for number in range(DAYS)]
    return Chart(
        gettext("Net growth of followers"),
        gettext("last 14 days, without today"),
        [formats.local_time(day) for day in days],
        [Series(gettext("net growth"), [float(change[day]) for day in days])],
        link=reverse("admin:members_follower_changelist"),
    )


def _change_per_day(start: datetime, end: datetime) -> Counter[date]:
    """Give who came less who went, by day. Who follows and who has gone are asked for apart: each has its index."""
    followers, zone = Follower.objects.order_by(), timezone.get_current_timezone()
    here = followers.filter(subscribed=True, followed_at__gte=start, followed_at__lt=end)
    gone = followers.filter(subscribed=False, unfollowed_at__gte=start)  # whoever came since then went since then
    came, went = TruncDate("followed_at", tzinfo=zone), TruncDate("unfollowed_at", tzinfo=zone)
    lately = Case(When(followed_at__gte=start, then=came))
    found: Counter[date] = Counter()
    for day, people in here.annotate(day=came).values_list("day").annotate(people=Count("brand")):
        found[day] += people
    for came_on, went_on, people in (
        gone.annotate(came=lately, went=went).values_list("came", "went").annotate(people=Count("brand"))
    ):
        if came_on is not None:
            found[came_on] += people
        found[went_on] -= people
    return found


@home_cards.add("members.tags_out_of_step")
def tags_out_of_step(viewer: Viewer) -> Todo | None:
    """Name tags that could not be brought in step with WeChat."""
    if not viewer.can("tags.edit"):
        return None
    problems = list(RemoteTag.objects.exclude(problem="").order_by("pk").values_list("problem", flat=True)[:100])
    link = reverse("admin:members_tag_changelist")
    return Todo(
        gettext("Tags out of step with WeChat"),
        len(problems),
        link,
        gettext("See the tags"),
        problems[0] if problems else "",
        35,
    )


def find_people(viewer: Viewer, term: str) -> list[Hit]:
    """Find members by name prefix, phone tail, full phone, member number or the tail of an OpenID."""
    found = services.look_up_members(viewer, term, at=now(), limit=8)
    services.note_listed(people=[row.pk for row in found], page="search", at=now())
    return [
        Hit(row.name or gettext("No name yet"), _details(row), reverse("admin:members_member_change", args=[row.pk]))
        for row in found
    ]


def _details(row: Member) -> str:
    return " · ".join(part for part in (row.phone_masked, row.member_no if row.joined_at else "") if part)


search_groups.register("members", SearchGroup(gettext_lazy("Members"), "members", find_people, 10))


@incidents.affected.add("members.followers")
def followers_out_of_reach(incident: Incident) -> list[incidents.Affected]:
    """Give the followers who cannot be reached, or not be heard."""
    account = OfficialAccount.objects.filter(appid=incident.appid).first()
    if account is None or incident.kind not in _SHUT_OUT:
        return []
    following = Follower.objects.filter(account=account, subscribed=True).count()
    label = (
        gettext("followers whose messages do not arrive")
        if incident.kind == incidents.CALLBACK
        else gettext("followers who cannot be written to")
    )
    link = f"{reverse('admin:members_follower_changelist')}?following=yes&of={account.pk}"
    return [incidents.Affected(label, following, link)]
