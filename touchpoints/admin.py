"""Pages of channels: the tree, each code with its picture and figures, and scans on a member's timeline."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_lazy, pgettext
from unfold.widgets import UnfoldAdminSelectMultipleWidget

from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.code import code_png, code_svg
from console.forms import BrandModelForm
from console.http import viewer_of
from console.registry import Hit, Moment, SearchGroup, Step, Todo, home_cards, search_groups, timelines
from members.models import Tag
from stores.selectors import store_ids_of_grant
from touchpoints import services
from touchpoints.errors import CodeNotIssued
from touchpoints.models import Touch, TouchKind, Touchpoint, TouchpointTag
from touchpoints.selectors import scan_counts

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer
    from members.models import Member

SHOWN = 2_000
SOON = timedelta(days=7)


def _in_reach(viewer: Viewer, queryset: QuerySet[Touchpoint]) -> QuerySet[Touchpoint]:
    if viewer.scope == "STORES":
        return queryset.filter(store_id__in=store_ids_of_grant(viewer.grant_id))
    return queryset


class TouchpointForm(BrandModelForm):
    """A channel: where it stands, whether it has a code, which tags the code puts on people."""

    tags: Any = forms.ModelMultipleChoiceField(
        queryset=None,
        required=False,
        label=gettext_lazy("Tags of this code"),
        help_text=gettext_lazy("Whoever scans the code gets these tags."),
        widget=UnfoldAdminSelectMultipleWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer this brand's tags and show those the code has."""
        super().__init__(*args, **kwargs)
        self.fields["tags"].queryset = Tag.objects.order_by("name")  # type: ignore[attr-defined]
        if self.instance.pk:
            chosen = TouchpointTag.objects.filter(touchpoint=self.instance).values_list("tag_id", flat=True)
            self.initial["tags"] = list(chosen)

    def clean_parent(self) -> Touchpoint | None:
        """Refuse a branch that hangs on itself."""
        parent: Touchpoint | None = self.cleaned_data["parent"]
        above = parent
        while above is not None and self.instance.pk:
            if above.pk == self.instance.pk:
                raise forms.ValidationError(gettext("A channel cannot stand below itself."))
            above = above.parent
        return parent


@admin.register(Touchpoint, site=site)
class TouchpointAdmin(ConsoleModelAdmin):
    """The channel tree and its codes."""

    area = "touchpoints"
    place = "channels"
    tab = gettext_lazy("Channel tree")
    tab_order = 10
    add_label = gettext_lazy("New channel code")
    form = TouchpointForm
    field_labels: ClassVar[dict[str, Any]] = {"account": gettext_lazy("Service account")}
    empty_text = gettext_lazy(
        "A channel code says where people come from: a door, a counter, a flyer. "
        "Whoever scans it follows, gets its tags and reads its welcome.",
    )
    list_display = ("name",)
    search_fields = ("name",)
    search_help_text = gettext_lazy("Name of a channel")
    ordering = ("brand", "name", "pk")
    list_per_page = SHOWN
    change_list_template = "console/touchpoints.html"
    change_form_outer_before_template = "console/touchpoint_head.html"

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show store managers the codes of their stores."""
        return _in_reach(viewer_of(request), queryset)

    def get_readonly_fields(self, request: HttpRequest, obj: Touchpoint | None = None) -> tuple[str, ...]:
        """Keep what the printed code carries."""
        return ("service_account", "is_permanent") if obj is not None and obj.ticket else ()

    def get_fieldsets(self, request: HttpRequest, obj: Touchpoint | None = None) -> Any:
        """Show the account as a fact once a code carries it."""
        account = "service_account" if obj is not None and obj.ticket else "account"
        return (
            (None, {"fields": ("name", "parent", account, "store", "is_permanent", "tags", "welcome", "is_active")}),
        )

    @admin.display(description=gettext_lazy("Service account"))
    def service_account(self, row: Touchpoint) -> str:
        """Show whose followers the code brings."""
        return str(row.account or "--")

    @admin.display(description=gettext_lazy("Tags of this code"))
    def tags(self, row: Touchpoint) -> str:
        """Show the tags to roles that may only look."""
        names = TouchpointTag.objects.filter(touchpoint=row).order_by("pk").values_list("tag__name", flat=True)
        return gettext(", ").join(names) or "--"

    def get_urls(self) -> list[Any]:
        """Add the picture for printing."""
        picture = path("<int:object_id>/code.png", self.admin_site.admin_view(self.picture), name="touchpoint_code")
        return [picture, *super().get_urls()]

    def picture(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Give the code's picture as a PNG file."""
        row = self.get_object(request, str(object_id))
        if row is None or not row.code_url or not self.has_view_permission(request, row):
            raise Http404
        response = HttpResponse(code_png(row.code_url), content_type="image/png")
        response["Content-Disposition"] = f'attachment; filename="code-{row.scene}.png"'
        return response

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the tree, or what the search found, with scans and tags."""
        if not self.has_view_permission(request):
            viewer_of(request).require("touchpoints.view")
        return super().changelist_view(request, {"tree": self._tree(request), **(extra_context or {})})

    def _tree(self, request: HttpRequest) -> list[dict[str, Any]]:
        rows = list(self.get_queryset(request).select_related("store").order_by("name", "pk")[:SHOWN])
        term = request.GET.get("q", "").strip().casefold()
        counts = scan_counts([row.pk for row in rows])
        tags: dict[int, list[str]] = {}
        for touchpoint_id, name in TouchpointTag.objects.order_by("pk").values_list("touchpoint_id", "tag__name"):
            tags.setdefault(touchpoint_id, []).append(name)
        lines = [
            _line(row, level, counts.get(row.pk, {}), tags.get(row.pk, []))
            for row, level in _in_tree_order(rows)
            if not term or term in row.name.casefold()
        ]
        return lines if not term else [{**line, "level": 1} for line in lines]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the code and its figures above the form; make the code when asked."""
        context = dict(extra_context or {})
        row = self.get_object(request, object_id) if object_id else None
        if row is not None and request.method == "POST" and request.POST.get("act") == "renew":
            return self._renew(request, row)
        if row is not None:
            counts = scan_counts([row.pk]).get(row.pk, {})
            context.update(
                touchpoint=row,
                code=code_svg(row.code_url),
                counts=[(TouchKind(kind).label, counts.get(kind, 0)) for kind in TouchKind.values],
                scans=sum(counts.values()),
                may_edit=self.has_change_permission(request, row),
            )
        return super().changeform_view(request, object_id, form_url, context)

    def _renew(self, request: HttpRequest, row: Touchpoint) -> HttpResponse:
        viewer_of(request).require("touchpoints.edit")
        try:
            services.issue_code(row.brand_id, row.pk, at=now())
        except CodeNotIssued as error:  # the channel keeps the reason, so this is no failure of the page
            self.message_user(request, f"{error.message} {error.hint}", level="error")
        else:
            self.audit(request, "renew code", row, {})
            self.message_user(request, gettext("The code is ready. Download it and print it."), level="success")
        return HttpResponseRedirect(request.path)

    def save_model(self, request: HttpRequest, obj: Touchpoint, form: Any, change: bool) -> None:
        """Create through the service; let the gateway read a changed welcome."""
        tags = form.cleaned_data.get("tags", ())
        if not change:
            made = services.create_touchpoint(
                name=obj.name,
                at=now(),
                account=obj.account,
                parent=obj.parent,
                store=obj.store,
                tags=tuple(tags),
                welcome=obj.welcome,
                is_permanent=obj.is_permanent,
            )
            obj.pk, obj.scene, obj.created_at = made.pk, made.scene, made.created_at
            return
        if obj.account_id and not obj.scene:
            obj.scene = services.new_scene()
        super().save_model(request, obj, form, change)
        services.set_tags(touchpoint=obj, tags=tuple(tags))
        if obj.account_id:
            services.replies_changed(account_id=obj.account_id)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave the entry to the service that created the channel."""


def _in_tree_order(rows: list[Touchpoint]) -> list[tuple[Touchpoint, int]]:
    known = {row.pk for row in rows}
    below: dict[int | None, list[Touchpoint]] = {}
    for row in rows:
        below.setdefault(row.parent_id if row.parent_id in known else None, []).append(row)
    ordered: list[tuple[Touchpoint, int]] = []
    waiting = [(row, 1) for row in reversed(below.get(None, []))]
    while waiting:
        row, level = waiting.pop()
        ordered.append((row, level))
        waiting.extend((child, level + 1) for child in reversed(below.get(row.pk, [])))
    return ordered


def _line(row: Touchpoint, level: int, counts: dict[str, int], tags: list[str]) -> dict[str, Any]:
    at = now()
    if row.problem:
        state = {"label": gettext("needs attention"), "tone": "warning", "detail": row.problem}
    elif not row.scene:
        state = {"label": gettext("folder"), "tone": "", "detail": ""}
    elif not row.is_active:
        state = {"label": gettext("not in use"), "tone": "", "detail": ""}
    elif not row.ticket:
        state = {"label": gettext("code not made yet"), "tone": "info", "detail": ""}
    elif row.expires_at and row.expires_at < at:
        state = {"label": gettext("expired"), "tone": "danger", "detail": ""}
    elif row.expires_at and row.expires_at < at + SOON:
        state = {"label": gettext("expires soon"), "tone": "warning", "detail": ""}
    else:
        state = {"label": gettext("in use"), "tone": "success", "detail": ""}
    return {
        "row": row,
        "level": level,
        "state": state,
        "tags": tags,
        "scans": sum(counts.values()) if row.scene else None,
        "followed": counts.get(TouchKind.FOLLOW, 0) if row.scene else None,
        "link": reverse("admin:touchpoints_touchpoint_change", args=[row.pk]),
        "code": code_svg(row.code_url),
    }


# --- what other pages show -------------------------------------------------------------------------------------------


def _sentence(touch: Touch) -> str:
    if touch.touchpoint is None:
        return {
            TouchKind.FOLLOW: gettext("Followed the account"),
            TouchKind.REFOLLOW: gettext("Followed the account again"),
        }.get(TouchKind(touch.kind), gettext("Scanned a code that is not in the channel tree"))
    name = {"name": touch.touchpoint.name}
    return {
        TouchKind.FOLLOW: gettext("Scanned “%(name)s” and followed") % name,
        TouchKind.REFOLLOW: gettext("Scanned “%(name)s” and followed again") % name,
    }.get(TouchKind(touch.kind), gettext("Scanned “%(name)s”") % name)


@timelines.add("touchpoints.touches")
def touches(member: Member, limit: int) -> list[Moment]:
    """Give a person's scans and follows."""
    rows = Touch.objects.select_related("touchpoint").filter(member=member).order_by("-at", "-pk")[:limit]
    return [
        Moment(
            at=row.at,
            sentence=_sentence(row),
            kind=gettext("Scan") if row.touchpoint_id else gettext("Follow"),
            link=reverse("admin:touchpoints_touchpoint_change", args=[row.touchpoint_id]) if row.touchpoint_id else "",
        )
        for row in rows
    ]


def find_channels(viewer: Viewer, term: str) -> list[Hit]:
    """Find channels by a part of their name."""
    rows = _in_reach(viewer, Touchpoint.objects.filter(name__icontains=term))
    return [
        Hit(
            row.name,
            gettext("Channel code") if row.scene else pgettext("channel tree", "Channel"),
            reverse("admin:touchpoints_touchpoint_change", args=[row.pk]),
        )
        for row in rows.order_by("name", "pk")[:8]
    ]


search_groups.register("touchpoints", SearchGroup(gettext_lazy("Channels"), "touchpoints", find_channels, 60))


@home_cards.add("touchpoints.codes")
def codes_to_look_at(viewer: Viewer) -> list[Todo | Step] | None:
    """Name codes that end soon or could not be made; the first code is a first-day step."""
    if not viewer.can("touchpoints.view"):
        return None
    link = reverse("admin:touchpoints_touchpoint_changelist")
    coded = list(
        _in_reach(viewer, Touchpoint.objects.exclude(scene=""))
        .filter(is_active=True)
        .values_list("expires_at", "problem", "ticket")[:SHOWN],
    )
    soon = now() + SOON
    ending = sorted(expires for expires, _problem, _ticket in coded if expires is not None and expires < soon)
    broken = [problem for _expires, problem, _ticket in coded if problem]
    cards: list[Todo | Step] = [
        Todo(
            gettext("channel codes expire within 7 days"),
            len(ending),
            link,
            gettext("See the codes"),
            gettext("Scanning an expired code leads nowhere."),
            30,
        ),
        Todo(
            gettext("channel codes could not be made"),
            len(broken),
            link,
            gettext("See why"),
            broken[0] if broken else "",
            25,
        ),
    ]
    if viewer.can("touchpoints.edit"):
        cards.append(
            Step(
                gettext("Make the first channel code"),
                gettext("Print it, put it at the door: it tells where people come from."),
                bool(coded),
                reverse("admin:touchpoints_touchpoint_add"),
                gettext("New channel code"),
                30,
            ),
        )
    return cards
