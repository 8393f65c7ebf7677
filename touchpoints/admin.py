"""Pages of channels: the tree, each code with its picture and figures, and scans on a member's timeline."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext, pgettext_lazy
from unfold.widgets import UnfoldAdminSelectMultipleWidget, UnfoldAdminSelectWidget

from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.code import code_png, code_svg
from console.forms import BrandModelForm
from console.http import row_id, viewer_of
from console.registry import Hit, Moment, SearchGroup, Step, Todo, home_cards, search_groups, timelines
from members.models import Member, Tag
from members.selectors import visible_members
from touchpoints import on_screen, selectors, services
from touchpoints.errors import NotInTree
from touchpoints.models import CodeIssue, Cost, MiniCode, Move, Touch, TouchCase, TouchKind, Touchpoint, TouchpointTag
from wechat_gateway.models import MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from accounts.viewer import Viewer

SHOWN = 2_000
SOON = timedelta(days=7)
LATEST = 12
PATIENCE = timedelta(seconds=60)
NO_OWNER = ("", "--")
OPTIONS = ("days", "model", "past", "show")  # of the page of the tree


class TouchpointForm(BrandModelForm):
    """A channel: where it stands, who answers for it, whether it has a code, what the code does."""

    tags: Any = forms.ModelMultipleChoiceField(
        queryset=None,
        required=False,
        label=gettext_lazy("Tags of this code"),
        help_text=gettext_lazy("Whoever scans the code gets these tags."),
        widget=UnfoldAdminSelectMultipleWidget(),
    )
    owner = forms.ChoiceField(
        required=False,
        label=pgettext_lazy("channel tree", "Owner"),
        help_text=gettext_lazy("Who answers for it. A guide who answers for a code becomes the guide of who scans it."),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer this brand's tags and owners, and show those the code has."""
        super().__init__(*args, **kwargs)
        self.fields["tags"].queryset = Tag.objects.order_by("name")  # type: ignore[attr-defined]
        groups = [
            (str(kind.label), [(f"{key}:{pk}", name) for pk, name in kind.choices()])
            for key, kind in sorted(selectors.owners.items())
        ]
        self.fields["owner"].choices = [NO_OWNER, *((label, rows) for label, rows in groups if rows)]  # type: ignore[attr-defined]
        if self.instance.pk:
            chosen = TouchpointTag.objects.filter(touchpoint=self.instance).values_list("tag_id", flat=True)
            self.initial["tags"] = list(chosen)
            if self.instance.owner_kind:
                self.initial["owner"] = f"{self.instance.owner_kind}:{self.instance.owner_id}"

    def clean_parent(self) -> Touchpoint | None:
        """Refuse a branch below a code."""
        parent: Touchpoint | None = self.cleaned_data["parent"]
        if parent is not None and parent.scene:
            said = gettext("“%(name)s” is a code, and nothing stands below a code.")
            raise forms.ValidationError(said % {"name": parent.name})
        return parent

    @property
    def chosen_owner(self) -> tuple[str, int] | None:
        """Give the owner as kind and id."""
        kind, _colon, pk = self.cleaned_data.get("owner", "").partition(":")
        return (kind, int(pk)) if pk else None


class MoveForm(forms.Form):
    """Where a branch is to hang, and how its past counts."""

    parent: Any = forms.ModelChoiceField(queryset=None, required=False)
    past = forms.ChoiceField(choices=(("keep", ""), ("restate", "")))

    def __init__(self, data: Any) -> None:
        """Offer this brand's folders."""
        super().__init__(data)
        self.fields["parent"].queryset = Touchpoint.objects.filter(scene="")  # type: ignore[attr-defined]


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
    change_list_template = "touchpoints/tree.html"
    change_form_template = "touchpoints/touchpoint.html"

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show store managers the codes of their stores."""
        return on_screen.in_reach(viewer_of(request), queryset)

    def get_readonly_fields(self, request: HttpRequest, obj: Touchpoint | None = None) -> tuple[str, ...]:
        """Keep what the printed code carries."""
        return ("service_account", "is_permanent") if obj is not None and obj.ticket else ()

    def get_fieldsets(self, request: HttpRequest, obj: Touchpoint | None = None) -> Any:
        """Show the account as a fact once a code carries it; a branch moves by its own action."""
        account = "service_account" if obj is not None and obj.ticket else "account"
        code = (account, "store", "is_permanent", "tags", "benefit", "welcome", "ends_at", "is_active")
        if obj is not None:
            return ((None, {"fields": ("name", "owner", *code) if obj.scene else ("name", "owner", "store")}),)
        return ((None, {"fields": ("name", "parent", "owner", *code)}),)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer folders only as a place to stand below."""
        if db_field.name == "parent":
            kwargs["queryset"] = self.reachable(Touchpoint.objects.filter(scene="", archived_at__isnull=True), request)
            kwargs["queryset"] = kwargs["queryset"].order_by("name", "pk")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=gettext_lazy("Service account"))
    def service_account(self, row: Touchpoint) -> str:
        """Show whose followers the code brings."""
        return str(row.account or "--")

    @admin.display(description=gettext_lazy("Tags of this code"))
    def tags(self, row: Touchpoint) -> str:
        """Show the tags to roles that may only look."""
        names = TouchpointTag.objects.filter(touchpoint=row).order_by("pk").values_list("tag__name", flat=True)
        return gettext(", ").join(names) or "--"

    @admin.display(description=pgettext_lazy("channel tree", "Owner"))
    def owner(self, row: Touchpoint) -> str:
        """Show the owner to roles that may only look."""
        return selectors.owner_names([row]).get((row.owner_kind, row.owner_id or 0), "--")

    def get_urls(self) -> list[Any]:
        """Add the picture for printing, and the part of the page that waits for it."""
        view = self.admin_site.admin_view
        return [
            path("<int:object_id>/code.png", view(self.picture), name="touchpoint_code"),
            path("<str:object_id>/code/", view(self.fragment), name="touchpoints_touchpoint_code"),
            path("<str:object_id>/mini/", view(self.mini_picture), name="touchpoints_touchpoint_mini"),
            *super().get_urls(),
        ]

    def mini_picture(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give the picture of one of the channel's mini-program codes, as WeChat drew it."""
        row = self.get_object(request, object_id)
        mini = row and MiniCode.objects.filter(touchpoint=row, pk=row_id(request.GET.get("code")) or 0).first()
        if not mini or not mini.picture:
            raise Http404
        body = bytes(mini.picture)
        kind = "png" if body.startswith(b"\x89PNG") else "jpeg"
        response = HttpResponse(body, content_type=f"image/{kind}")
        response["Content-Disposition"] = f'inline; filename="{mini.code}.{kind}"'
        response["X-Content-Type-Options"] = "nosniff"
        return response

    def fragment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give the code as it is now; 204 while WeChat has not answered."""
        row = self.get_object(request, object_id)
        if row is None or not row.scene:
            raise Http404
        waiting = _waiting(request, row)
        if waiting:
            return HttpResponse(status=204)
        return TemplateResponse(request, "touchpoints/_code.html", self._code(request, row))

    def _code(self, request: HttpRequest, row: Touchpoint) -> dict[str, Any]:
        at = now()
        health = selectors.code_health([row], now=at).get(row.pk)
        return {
            "touchpoint": row,
            "code": code_svg(row.code_url),
            "state": on_screen.state_of(row, health, at),
            "ailments": [on_screen.ailment_text(each, health) for each in health.ailments] if health else [],
            "waiting": _waiting(request, row),
            "may_edit": self.has_change_permission(request, row),
        }

    def picture(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Give the code's picture as a PNG file."""
        row = self.get_object(request, str(object_id))
        if row is None or not row.code_url or not self.has_view_permission(request, row):
            raise Http404
        response = HttpResponse(code_png(row.code_url), content_type="image/png")
        response["Content-Disposition"] = f'attachment; filename="code-{row.scene}.png"'
        return response

    # --- the tree ----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the tree with its figures, or codes that want attention."""
        if not self.has_view_permission(request):
            viewer_of(request).require("touchpoints.view")
        context = {**self._tree(request), **(extra_context or {})}
        query = request.GET.copy()
        for name in OPTIONS:
            query.pop(name, None)  # Django's list takes what it does not know for a mistake
        request.GET = query  # type: ignore[assignment] # a copy that may still be changed
        return super().changelist_view(request, context)

    def _tree(self, request: HttpRequest) -> dict[str, Any]:
        options = on_screen.read_options(request)
        everything = list(Touchpoint.objects.order_by("name", "pk")[:SHOWN])
        reach = on_screen.reachable_ids(request)
        rows = [row for row in everything if reach is None or row.pk in reach]
        figures = selectors.tree_figures(
            options.window,
            model=options.model,
            now=options.at,
            zone=options.zone,
            as_it_was=options.as_it_was,
            nodes=on_screen.nodes_of(everything),
        )
        tags: dict[int, list[str]] = {}
        for touchpoint_id, name in TouchpointTag.objects.order_by("pk").values_list("touchpoint_id", "tag__name"):
            tags.setdefault(touchpoint_id, []).append(name)
        health = selectors.code_health(rows, now=options.at)
        owners = selectors.owner_names(rows)
        lines = on_screen.tree_lines(rows, figures, options, health=health, tags=tags, owners=owners)
        views = _views(options, request.GET.get("show", ""), rows, health)
        whole = figures.whole if reach is None else on_screen.scoped_whole(lines)
        term = request.GET.get("q", "").strip().casefold()
        wanted = next((view["wanted"] for view in views if view["active"]), None)
        flat = bool(term) or wanted is not None
        gone = {row.pk for row in rows if row.archived_at is not None}
        return {
            "tree": [
                line
                for line in lines
                if (not term or term in line.row.name.casefold())
                and (wanted(line.row) if wanted else line.row.pk not in gone or line.figures.scans)
            ],
            "flat": flat,
            "whole": on_screen.cells(whole, on_screen.row_links(options)),
            "options": options,
            "choices": options.choices(),
            "views": views,
            "moved": bool(figures.shape.moments) or not options.as_it_was,
            "meters": _permanent_meters(),
            "at": options.at,
            "has_codes": any(row.scene for row in rows),
            "may_edit": self.has_add_permission(request),
        }

    # --- one channel -------------------------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the code and its figures above the form; do what one of its buttons says."""
        context = dict(extra_context or {})
        row = self.get_object(request, object_id) if object_id else None
        if row is not None and request.method == "POST" and request.POST.get("act"):
            return self._act(request, row, request.POST["act"])
        if row is not None:
            context.update(self._channel(request, row))
        return super().changeform_view(request, object_id, form_url, context)

    def _channel(self, request: HttpRequest, row: Touchpoint) -> dict[str, Any]:
        options = on_screen.read_options(request)
        nodes = selectors.tree_nodes()
        figures = selectors.tree_figures(
            options.window,
            model=options.model,
            now=options.at,
            zone=options.zone,
            as_it_was=options.as_it_was,
            nodes=nodes,
        ).nodes[row.pk]
        settled = selectors.tree_figures(
            selectors.settled_window(options.at), model=options.model, now=options.at, zone=options.zone, nodes=nodes
        )
        codes = [node.pk for node in nodes if node.is_code]
        ranked = {each.touchpoint_id: each for each in selectors.ranking(settled, codes)}
        links = on_screen.row_links(options, touchpoint_id=row.pk)
        names = {node.pk: node.name for node in nodes}
        above = selectors.path_of({node.pk: node.parent_id for node in nodes}, row.pk)
        inside = selectors.below(nodes, row.pk)
        return {
            "touchpoint": row,
            "options": options,
            "choices": options.choices(),
            **self._code(request, row),
            "kind": on_screen.kind_of(row),
            "owner_name": selectors.owner_names([row]).get((row.owner_kind, row.owner_id or 0), ""),
            "above": [names[pk] for pk in above[:-1]],
            "figures": figures,
            "links": links,
            "funnel": on_screen.funnel(figures, links),
            "cases": [
                {"label": label, "count": figures.cases[case], "link": links[case]}
                for case, label in TouchCase.choices
                if case != TouchCase.STAFF
            ],
            "staff_scans": _staff_scans(inside, options),
            "cohorts": on_screen.cohort_lines(
                selectors.cohorts(options.at, model=options.model, zone=options.zone, touchpoint_ids=sorted(inside))
            ),
            "stays": selectors.STAYS,
            "quality": ranked.get(row.pk) or selectors.quality(row.pk, settled.nodes[row.pk]),
            "fewest": selectors.FEWEST,
            "issues": CodeIssue.objects.filter(touchpoint=row).order_by("-issued_at", "-pk")[:LATEST],
            "costs": Cost.objects.filter(touchpoint=row).order_by("-starts_on", "-pk")[:LATEST],
            "moves": Move.objects.filter(touchpoint=row).select_related("before", "after").order_by("-at")[:LATEST],
            "minis": MiniCode.objects.filter(touchpoint=row)
            .select_related("program")
            .annotate(drawn=Q(picture__isnull=False))
            .defer("picture")
            .order_by("-created_at", "-pk")[:LATEST],
            "programs": MiniProgram.objects.filter(is_active=True).order_by("pk"),
            "places": [node for node in nodes if not node.is_code and node.pk not in inside and not node.archived_at],
            "latest": self._latest(request, inside),
            "codes_below": len(inside & set(codes)),
            "today": options.at.astimezone(options.zone).date(),
        }

    def _latest(self, request: HttpRequest, inside: set[int]) -> list[dict[str, Any]]:
        rows = list(
            Touch.objects.filter(touchpoint_id__in=inside)
            .select_related("member", "touchpoint", "issue")
            .order_by("-at", "-pk")[:LATEST]
        )
        people = visible_members(viewer_of(request)).filter(pk__in=[row.member_id for row in rows])
        visible = set(people.values_list("pk", flat=True))
        return [
            {
                "row": row,
                "name": str(row.member) if row.member_id in visible else "",
                "member_id": row.member_id if row.member_id in visible else None,
                "case": on_screen.case_label(row.case, row.kind),
                "is_staff": row.case == TouchCase.STAFF,
                "old_print": bool(row.issue and row.touchpoint and row.issue.ticket != row.touchpoint.ticket),
            }
            for row in rows
        ]

    def _act(self, request: HttpRequest, row: Touchpoint, act: str) -> HttpResponse:
        viewer_of(request).require("touchpoints.edit")
        acts = {
            "renew": self._renew,
            "move": self._move,
            "archive": self._archive,
            "restore": self._restore,
            "add-cost": self._add_cost,
            "remove-cost": self._remove_cost,
            "staff": self._staff,
            "not-staff": self._staff,
            "add-mini": self._add_mini,
            "draw-mini": self._draw_mini,
            "revoke-mini": self._revoke_mini,
        }
        if act not in acts:
            raise Http404
        said = acts[act](request, row)
        if said:
            self.message_user(request, said, level="success")
        here = reverse("admin:touchpoints_touchpoint_change", args=[row.pk])
        waiting = {"waiting": f"{now().timestamp():.3f}"} if act == "renew" else {}
        return HttpResponseRedirect(here + on_screen.read_options(request).query(**waiting))

    def _renew(self, request: HttpRequest, row: Touchpoint) -> str:
        if row.account_id is None:
            raise Http404
        services.make_codes(row.brand_id, [row.pk], anew=True)  # a worker asks WeChat: this request is a transaction
        self.audit(request, "renew code", row, {})
        return ""

    def _move(self, request: HttpRequest, row: Touchpoint) -> str:
        form = MoveForm(request.POST)
        if not form.is_valid():
            raise Http404
        move = services.move_branch(
            touchpoint=row,
            parent=form.cleaned_data["parent"],
            at=now(),
            restates=form.cleaned_data["past"] == "restate",
        )
        return gettext("“%(name)s” was moved.") % {"name": row.name} if move else ""

    def _archive(self, request: HttpRequest, row: Touchpoint) -> str:
        gone = services.archive_branch(touchpoint=row, at=now())
        said = ngettext("%(number)s channel was archived.", "%(number)s channels were archived.", gone)
        return said % {"number": gone}

    def _restore(self, request: HttpRequest, row: Touchpoint) -> str:
        back = services.restore_branch(touchpoint=row, at=now())
        return ngettext("%(number)s channel is back.", "%(number)s channels are back.", back) % {"number": back}

    def _add_cost(self, request: HttpRequest, row: Touchpoint) -> str:
        try:
            amount = _fen(request.POST.get("amount", ""))
            first = date.fromisoformat(request.POST.get("starts_on", ""))
            last = date.fromisoformat(request.POST.get("ends_on", ""))
        except (InvalidOperation, ValueError, OverflowError):
            raise NotInTree(gettext("The cost was not noted: amount and both days are needed.")) from None
        services.add_cost(
            touchpoint=row, amount=amount, starts_on=first, ends_on=last, at=now(), note=request.POST.get("note", "")
        )
        return gettext("The cost was noted.")

    def _remove_cost(self, request: HttpRequest, row: Touchpoint) -> str:
        cost = Cost.objects.filter(touchpoint=row, pk=row_id(request.POST.get("cost")) or 0).first()
        if cost is None:
            raise Http404
        services.remove_cost(cost=cost)
        return gettext("The cost was taken out.")

    def _add_mini(self, request: HttpRequest, row: Touchpoint) -> str:
        program = MiniProgram.objects.filter(is_active=True, pk=row_id(request.POST.get("program")) or 0).first()
        if program is None or not row.scene:
            raise Http404
        services.create_mini_code(touchpoint=row, program=program, page=request.POST.get("page", "")[:200], at=now())
        return gettext("The mini-program code was created. WeChat is drawing it.")

    def _draw_mini(self, request: HttpRequest, row: Touchpoint) -> str:
        code = self._mini_code(request, row)
        services.redraw_mini_code(mini_code=code)
        return gettext("WeChat is drawing the code.")

    def _revoke_mini(self, request: HttpRequest, row: Touchpoint) -> str:
        code = self._mini_code(request, row)
        services.revoke_mini_code(mini_code=code, at=now())
        return gettext("“%(code)s” no longer leads anywhere.") % {"code": code.code}

    def _mini_code(self, request: HttpRequest, row: Touchpoint) -> MiniCode:
        found = MiniCode.objects.defer("picture").filter(touchpoint=row, pk=row_id(request.POST.get("mini")) or 0)
        code = found.first()
        if code is None:
            raise Http404
        return code

    def _staff(self, request: HttpRequest, row: Touchpoint) -> str:
        people = visible_members(viewer_of(request)).filter(pk=row_id(request.POST.get("member")) or 0)
        member: Member | None = people.first()
        if member is None:
            raise Http404
        if request.POST["act"] == "not-staff":
            services.unmark_staff(member=member)
            return gettext("“%(name)s” is no longer staff. Scans from now on count.") % {"name": member}
        services.mark_staff(member=member, at=now())
        return gettext("“%(name)s” is staff now. Their scans no longer count.") % {"name": member}

    # --- saving ------------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Touchpoint, form: Any, change: bool) -> None:
        """Create through the service; let the gateway read a changed welcome."""
        tags = form.cleaned_data.get("tags", ())
        owner = form.chosen_owner
        if not change:
            made = services.create_touchpoint(
                name=obj.name,
                at=now(),
                account=obj.account,
                parent=obj.parent,
                store=obj.store,
                tags=list(tags),
                welcome=obj.welcome,
                is_permanent=obj.is_permanent,
                benefit=obj.benefit,
                ends_at=obj.ends_at,
                owner=owner,
            )
            obj.pk, obj.scene, obj.created_at = made.pk, made.scene, made.created_at
            services.make_codes(made.brand_id, [made.pk] if made.account_id else [])
            return
        obj.owner_kind, obj.owner_id = owner or ("", None)
        super().save_model(request, obj, form, change)
        if obj.scene:
            services.set_tags(touchpoint=obj, tags=list(tags))
        if obj.account_id:
            services.replies_changed(account_id=obj.account_id)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave the entry to the service that created the channel."""


def _fen(text: str) -> int:
    """Read an amount in yuan; raises ValueError for anything finer than fen."""
    amount = Decimal(text) * 100
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(text)
    return int(amount)


def _waiting(request: HttpRequest, row: Touchpoint) -> str:
    """Give the moment since which the page waits for a code; nothing once WeChat has answered."""
    text = request.GET.get("waiting", "")
    try:
        asked = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    if row.problem or now() - asked > PATIENCE:
        return ""
    return "" if CodeIssue.objects.filter(touchpoint=row, issued_at__gte=asked).exists() else text


def _views(
    options: on_screen.Options, chosen: str, rows: list[Touchpoint], health: dict[int, selectors.CodeHealth]
) -> list[dict[str, Any]]:
    """Give the saved views above the tree, with how many codes each holds; empty ones are left out."""

    def has(*ailments: selectors.Ailment) -> Any:
        return lambda row: bool(row.scene) and bool(set(ailments) & set(health[row.pk].ailments))

    ailing = set(selectors.Ailment) - {selectors.Ailment.NO_SCAN}
    wanted: list[tuple[str, str, Any]] = [
        ("quiet", gettext("No scan in 30 days"), has(selectors.Ailment.NO_SCAN)),
        ("ailing", gettext("Need attention"), lambda row: bool(row.problem) or has(*ailing)(row)),
        ("archived", gettext("Archived"), lambda row: row.archived_at is not None),
    ]
    views = [
        {
            "label": gettext("All"),
            "link": options.query(),
            "active": chosen not in {key for key, *_rest in wanted},
            "count": None,
            "wanted": None,
        }
    ]
    for key, label, keep in wanted:
        count = sum(bool(keep(row)) for row in rows)
        if count or key == chosen:
            views.append(
                {
                    "label": label,
                    "link": options.query(show=key),
                    "active": key == chosen,
                    "count": count,
                    "wanted": keep,
                }
            )
    return views


def _permanent_meters() -> list[dict[str, Any]]:
    """Give how many permanent codes each account has spent, one query for all."""
    used = selectors.permanent_codes_by_account()
    return [
        {"label": account.name, "used": used.get(account.pk, 0), "limit": selectors.PERMANENT_CODES}
        for account in OfficialAccount.objects.filter(is_active=True).order_by("pk")
    ]


def _staff_scans(inside: set[int], options: on_screen.Options) -> int:
    rows = Touch.objects.filter(touchpoint_id__in=inside, case=TouchCase.STAFF, at__lt=options.window.until)
    return (rows.filter(at__gte=options.window.since) if options.window.since else rows).count()


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
    rows = on_screen.in_reach(viewer, Touchpoint.objects.filter(name__icontains=term))
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
        on_screen.in_reach(viewer, Touchpoint.objects.exclude(scene=""))
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
