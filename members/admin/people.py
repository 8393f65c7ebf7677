"""Pages about people: members with everything known about them, and followers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from console.admin import ConsoleChangeList, ConsoleModelAdmin, site
from console.columns import moment, recently, state, two_lines
from console.formats import tail
from console.http import row_id, viewer_of
from console.labels import source_label
from console.person import ENTRIES, panels_of, portrait_of, timeline_context, with_marks
from console.registry import BulkColumn
from console.reveal import reveal
from members import services
from members.admin.timeline import followers_of, statements_of, tags_on
from members.models import (
    Consent,
    Follower,
    Identity,
    IdentityKind,
    Member,
    MemberTag,
    Purpose,
    Tag,
)
from members.opened import lists
from members.selectors import consents_in_force, records_within, surviving, visible_members
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer

FOUND = 50
TAG_CHOICES = 500
SCENES = {
    "ADD_SCENE_SEARCH": gettext_lazy("search"),
    "ADD_SCENE_ACCOUNT_MIGRATION": gettext_lazy("account migration"),
    "ADD_SCENE_PROFILE_CARD": gettext_lazy("name card"),
    "ADD_SCENE_QR_CODE": gettext_lazy("code"),
    "ADD_SCENE_PROFILE_LINK": gettext_lazy("name in an article"),
    "ADD_SCENE_PROFILE_ITEM": gettext_lazy("menu of an article"),
    "ADD_SCENE_PAID": gettext_lazy("after a payment"),
    "ADD_SCENE_WECHAT_ADVERTISEMENT": gettext_lazy("advertisement"),
    "ADD_SCENE_REPRINT": gettext_lazy("reprint"),
    "ADD_SCENE_LIVESTREAM": gettext_lazy("live stream"),
    "ADD_SCENE_CHANNELS": gettext_lazy("WeChat Channels"),
    "ADD_SCENE_WXA": gettext_lazy("mini-program"),
    "ADD_SCENE_OTHERS": gettext_lazy("other"),
}


def following(value: bool) -> Any:
    """Say whether somebody follows, as a state."""
    return state(gettext("Follows now"), "success") if value else state(gettext("Not following"))


class MemberView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """The saved views of the member list."""

    title = gettext_lazy("view")
    parameter_name = "view"
    views: ClassVar = [
        ("joined", gettext_lazy("Joined in the last 7 days")),
        ("members", gettext_lazy("Members")),
        ("contacts", gettext_lazy("Not yet members")),
        ("silent", gettext_lazy("Silent for 30 days")),
    ]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the views."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Member]) -> QuerySet[Member]:
        """Narrow to the chosen view."""
        at = now()
        chosen = {
            "joined": Q(joined_at__gte=at - timedelta(days=7)),
            "members": Q(joined_at__isnull=False),
            "contacts": Q(joined_at__isnull=True),
            "silent": Q(last_interaction_at__lt=at - timedelta(days=30)),
        }.get(self.value() or "")
        return queryset.filter(chosen) if chosen is not None else queryset


class FollowingFilter(DropdownFilter):  # type: ignore[misc]
    """Who follows now."""

    title = gettext_lazy("following")
    parameter_name = "following"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the two states."""
        return [("yes", gettext_lazy("Follows now")), ("no", gettext_lazy("Not following"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen state."""
        return queryset.filter(subscribed=self.value() == "yes") if self.value() in {"yes", "no"} else queryset


class AccountFilter(DropdownFilter):  # type: ignore[misc]
    """Followers of one service account of this brand."""

    title = gettext_lazy("service account")
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the brand's accounts."""
        return [(str(pk), name) for pk, name in OfficialAccount.objects.order_by("pk").values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen account; anything that is no account of the brand finds nobody."""
        if not self.value():
            return queryset
        account_id = row_id(self.value())
        return queryset.filter(account_id=account_id) if account_id is not None else queryset.none()


class TagFilter(DropdownFilter):  # type: ignore[misc]
    """Who carries a tag of this brand."""

    title = gettext_lazy("tag")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the brand's tags."""
        return [(str(pk), name) for pk, name in Tag.objects.order_by("name").values_list("pk", "name")[:TAG_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Member]) -> QuerySet[Member]:
        """Narrow to people with the tag; anything that is no tag of the brand finds nobody."""
        if not self.value():
            return queryset
        tag_id = row_id(self.value())
        if tag_id is None:
            return queryset.none()
        return queryset.filter(pk__in=MemberTag.objects.filter(tag_id=tag_id).values("member_id"))


class StoreFilter(DropdownFilter):  # type: ignore[misc]
    """Whose home store it is."""

    title = gettext_lazy("store")
    parameter_name = "store"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the stores within reach."""
        stores = model_admin.choices_for(Member._meta.get_field("store").remote_field.model, request)
        return [(str(pk), name) for pk, name in stores.values_list("pk", "name")[:TAG_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Member]) -> QuerySet[Member]:
        """Narrow to people of the store."""
        if not self.value():
            return queryset
        store_id = row_id(self.value())
        return queryset.none() if store_id is None else queryset.filter(store_id=store_id)


class TagForm(forms.Form):
    """Which tag to put on somebody: a tag of this brand."""

    tag: Any = forms.ModelChoiceField(
        queryset=None, label=gettext_lazy("Tag"), empty_label=gettext_lazy("Choose a tag")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the brand's tags."""
        super().__init__(*args, **kwargs)
        field = self.fields["tag"]
        field.queryset = Tag.objects.order_by("name")  # type: ignore[attr-defined]
        field.widget.attrs["class"] = "zy-input"


def _tags_of(ids: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    rows = MemberTag.objects.filter(member_id__in=ids).order_by("-at", "-pk").values_list("member_id", "tag__name")
    for member_id, name in rows:
        found.setdefault(member_id, []).append(name)
    return found


def _tag_cell(names: list[str] | None, row: Any) -> str:
    names = names or []
    more = f" +{len(names) - 2}" if len(names) > 2 else ""
    return gettext(", ").join(names[:2]) + more if names else "--"


class PeopleList(ConsoleChangeList):
    """The list of members; how many have a tag is asked of the tags alone."""

    def countable(self) -> QuerySet[Any]:
        """Give who carries the tag, when that is all that is asked for: nobody who was merged away carries one."""
        if self.zy_whole and not self.query and set(self.params) == {TagFilter.parameter_name}:
            tag_id = row_id(self.params[TagFilter.parameter_name])
            return MemberTag.objects.filter(tag_id=tag_id) if tag_id is not None else MemberTag.objects.none()
        return super().countable()


@admin.register(Member, site=site)
class MemberAdmin(ConsoleModelAdmin):
    """People: find one, see everything about them, put tags on them."""

    area = "members"
    place = "members"
    tab = gettext_lazy("Members")
    tab_order = 10
    allow_add = False
    allow_change = False
    empty_text = gettext_lazy("Everybody who follows, writes or opens the mini-program appears here by themselves.")
    list_display = (
        "person",
        "number",
        BulkColumn("tag_names", gettext_lazy("tags"), _tags_of, show=_tag_cell),
        "store",
        "follows",
        recently("last_interaction_at", gettext_lazy("last interaction")),
    )
    list_select_related = ()  # not their stores: see `reachable`
    list_filter = (MemberView, FollowingFilter, TagFilter, StoreFilter)
    views_filter = MemberView
    search_fields = ("name",)  # shows the box; `get_search_results` decides
    search_help_text = gettext_lazy("Name, last 4 digits of the phone, card, member number")
    ordering = ("brand", "-pk")
    walked: ClassVar[tuple[str, ...]] = ("following", "store")
    phone_columns: ClassVar[tuple[str, ...]] = ("person", "follows", "last_interaction_at")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show the members a person's data scope reaches; merged records are left out."""
        viewer, order = viewer_of(request), queryset.query.order_by
        if request.resolver_match is None or "object_id" not in request.resolver_match.kwargs:
            people = visible_members(viewer).order_by(*order)
            return people.prefetch_related("store")  # by key: a join would be made for everybody on the way to a page
        return with_marks(records_within(viewer).order_by(*order).select_related("store"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Use the list that counts people by their tags."""
        return PeopleList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search by what people have in hand: name, phone tail, card, member number, OpenID tail."""
        if not search_term:
            return queryset, False
        found = services.look_up_members(viewer_of(request), search_term, at=now(), limit=FOUND)
        return queryset.filter(pk__in=[member.pk for member in found]), False

    @admin.display(description=gettext_lazy("member"))
    def person(self, row: Member) -> Any:
        """Show the name and the masked phone."""
        return two_lines(row.name or gettext("No name yet"), row.phone_masked or gettext("phone not bound"))

    @admin.display(description=gettext_lazy("member number"))
    def number(self, row: Member) -> str:
        """Show the member number; people who have not joined have none to show."""
        return row.member_no if row.joined_at else gettext("not yet a member")

    @admin.display(description=gettext_lazy("following"))
    def follows(self, row: Member) -> Any:
        """Show whether the person follows any account of the brand."""
        return following(row.subscribed)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show everything about one person; act on their tags; reveal the phone for a reason."""
        member = self.get_object(request, object_id) if object_id else None
        if member is None and request.method == "GET" and (stays := _stays(request, object_id)) is not None:
            return HttpResponseRedirect(reverse("admin:members_member_change", args=[stays]))
        if member is None or not self.has_view_permission(request, member):
            raise Http404
        if request.method == "POST":
            done = self._act(request, member)
            if isinstance(done, HttpResponse):
                return done
            extra_context = {**(extra_context or {}), **done}
        return self._page(request, member, extra_context or {})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Show what was done to a person's record."""
        shown = super().history_view(request, object_id, extra_context)
        services.note_opened(member_id=int(object_id), page="history", at=now())
        return shown

    def _act(self, request: HttpRequest, member: Member) -> HttpResponse | dict[str, Any]:
        here = HttpResponseRedirect(request.path)
        act = request.POST.get("act")
        if act == "reveal":
            phone = reveal(viewer_of(request), member, "phone", reason=request.POST.get("text", ""), at=now())
            services.note_listed(people=[member.pk], page="reveal.phone", at=now())
            return {"revealed": phone}
        viewer_of(request).require("members.edit")
        form = TagForm(request.POST)
        if not form.is_valid():
            self.message_user(request, gettext("This tag does not exist."), level="error")
            return here
        tag = form.cleaned_data["tag"]
        if act == "tag":
            services.tag_members(
                member_ids=[member.pk],
                tag_ids=[tag.pk],
                source=f"staff: {viewer_of(request).label}",
                at=now(),
            )
            self.audit(request, "tag members", member, {"tag": [None, str(tag)]})
        elif act == "untag":
            source = f"staff: {viewer_of(request).label}"
            if not services.untag_members(member_ids=[member.pk], tag_ids=[tag.pk], source=source, at=now()):
                held = gettext("The tag stays: an automatic tag gives it. Change the rule, or the fact it looks at.")
                self.message_user(request, held, level="warning")
                return here
            self.audit(request, "untag members", member, {"tag": [str(tag), None]})
        return here

    def _page(self, request: HttpRequest, member: Member, extra: dict[str, Any]) -> Any:
        viewer = viewer_of(request)
        services.note_opened(member_id=member.pk, page="card", at=now())
        context = {
            **self.admin_site.each_context(request),
            "title": str(member),
            "zy_object": member,
            "member": member,
            "opts": self.opts,
            "original": member,
            "tags": _tag_lines(member),
            "tag_form": TagForm() if viewer.can("members.edit") else None,
            "may_reveal": viewer.can("members.reveal") and bool(member.phone_masked),
            "access_link": access_link(member, viewer),
            "followers": followers_of(member),
            "consents": _consents(member),
            "identities": _identities(member),
            "portrait": portrait_of(member, viewer=viewer),
            "panels": panels_of(member, request),
            **timeline_context(member, request),
            **extra,
        }
        return TemplateResponse(request, "console/member.html", context)


def access_link(member: Member, viewer: Viewer) -> str:
    """Give the way to who has looked at a person, for whom it is open."""
    if not viewer.can("audit.view"):
        return ""
    return f"{reverse('admin:members_accessentry_changelist')}?q={member.member_no}"


def _stays(request: HttpRequest, object_id: str | None) -> int | None:
    """Give the record that a merged one became, if that may be seen: links to the old one lead there."""
    pk = row_id(object_id)
    gone = Member.objects.filter(pk=pk, merged_into__isnull=False).first() if pk is not None else None
    if gone is None:
        return None
    stays = surviving(gone).pk
    return stays if records_within(viewer_of(request)).filter(pk=stays).exists() else None


_STALE = {
    "over": gettext_lazy("out of date: its time is up"),
    "aged": gettext_lazy("out of date: older than this tag lasts"),
    "unruled": gettext_lazy("out of date: its automatic tag no longer runs"),
}


def _tag_lines(member: Member) -> list[dict[str, Any]]:
    """Give each tag of a person with what it means, who put it there and when it ends."""
    lines = []
    for row in tags_on(member):
        sources = [source_label(row.source)] if row.source else []
        sources += [source_label(f"rule: {name}") for name in row.rules]
        lines.append({"row": row, "source": gettext(", ").join(sources), "stale": _STALE.get(row.stale, "")})
    return lines


def _consents(member: Member) -> list[dict[str, Any]]:
    newest: dict[str, Consent] = {}
    for row in statements_of(member):
        newest.setdefault(row.purpose, row)
    if len(newest) < len(Purpose.choices) and len(statements_of(member)) == ENTRIES:
        newest |= consents_in_force(member.pk)  # somebody with so many statements that one of them may be older
    return [{"label": label, "row": newest.get(value)} for value, label in Purpose.choices]


def _identities(member: Member) -> list[dict[str, Any]]:
    rows = Identity.objects.filter(member=member, ended_at__isnull=True).order_by("kind", "pk")
    shown = []
    for row in rows:
        value = member.phone_masked if row.kind == IdentityKind.PHONE else tail(row.value)
        shown.append(
            {"label": row.get_kind_display(), "value": value, "source": source_label(row.source), "since": row.since}
        )
    return shown


@admin.register(Follower, site=site)
class FollowerAdmin(ConsoleModelAdmin):
    """People as the service accounts know them."""

    area = "members"
    place = "members"
    tab = gettext_lazy("Followers")
    tab_order = 20
    allow_add = False
    allow_change = False
    empty_text = gettext_lazy("Whoever follows the service account appears here within a second.")
    list_display = (
        "who",
        "account",
        "follows",
        moment("followed_at", gettext_lazy("followed")),
        "through",
        "follow_count",
        recently("last_interaction_at", gettext_lazy("last interaction")),
    )
    list_select_related = ()  # neither their people nor their accounts: see `get_queryset`
    list_filter = (FollowingFilter, AccountFilter)
    search_fields = ("openid",)
    search_help_text = gettext_lazy("Name, last 4 digits of the phone, end of the OpenID")
    ordering = ("brand", "account", "-followed_at", "-pk")
    walked: ClassVar[tuple[str, ...]] = ("following", "of")
    phone_columns: ClassVar[tuple[str, ...]] = ("who", "follows", "followed_at")
    number_columns: ClassVar[tuple[str, ...]] = ("follow_count",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Fetch what belongs to a page by key: PostgreSQL takes every brand for small, and would join all with all."""
        return super().get_queryset(request).prefetch_related("member", "account")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show followers whose member is within reach."""
        viewer = viewer_of(request)
        return queryset if viewer.scope == "BRAND" else queryset.filter(member__in=records_within(viewer).values("pk"))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search through the people behind the followers."""
        if not search_term:
            return queryset, False
        found = services.look_up_members(viewer_of(request), search_term, at=now(), limit=FOUND)
        return queryset.filter(member_id__in=[member.pk for member in found]), False

    @admin.display(description=gettext_lazy("follower"))
    def who(self, row: Follower) -> Any:
        """Show the name of the person and the end of the OpenID."""
        return two_lines(row.member.name or gettext("No name yet"), f"OpenID {tail(row.openid)}")

    @admin.display(description=gettext_lazy("state"))
    def follows(self, row: Follower) -> Any:
        """Show whether the person follows this account."""
        return following(row.subscribed)

    @admin.display(description=gettext_lazy("followed through"))
    def through(self, row: Follower) -> str:
        """Show what WeChat says led here."""
        return str(SCENES.get(row.follow_scene, row.follow_scene) or "--")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show one follower: state, the code they came through, its tags, their guide."""
        follower = self.get_object(request, object_id) if object_id else None
        if follower is None or not self.has_view_permission(request, follower):
            raise Http404
        member = follower.member
        services.note_opened(member_id=member.pk, page="follower", at=now())
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("%(name)s · %(account)s") % {"name": member, "account": follower.account},
            "zy_object": member,
            "follower": follower,
            "member": member,
            "through": self.through(follower),
            "opts": self.opts,
            "tags": _tag_lines(member),
            "panels": panels_of(member, request),
            **timeline_context(member, request),
        }
        return TemplateResponse(request, "console/follower.html", context)


lists("members.Member", "name", "number", "phone_masked", by="pk")
lists("members.Follower", "name")
