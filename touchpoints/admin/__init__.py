"""The channel tree and its codes in the console: which page, which form, who may see what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.code import code_png
from console.http import row_id, viewer_of
from touchpoints import on_screen, selectors, services
from touchpoints.admin import elsewhere, portrait  # noqa: F401 - put channels into other pages
from touchpoints.admin.acts import act
from touchpoints.admin.channel_page import channel_context, code_context, waiting_since
from touchpoints.admin.forms import TouchpointForm
from touchpoints.admin.tree_page import branch_context, tree_context
from touchpoints.models import MiniCode, Touchpoint, TouchpointTag

if TYPE_CHECKING:
    from django.db.models import QuerySet

OPTIONS = ("days", "model", "past", "show", "page")  # of the page of the tree


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
    list_per_page = 1  # the page shows the tree instead of this list
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
        code = (account, "store", "is_permanent", "tags", "benefit", "gives", "welcome", "ends_at", "is_active")
        if obj is not None:
            return ((None, {"fields": ("name", "owner", *code) if obj.scene else ("name", "owner", "store")}),)
        return ((None, {"fields": ("name", "parent", "owner", *code)}),)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer folders only as a place to stand below."""
        if db_field.name == "parent":
            kwargs["queryset"] = self.reachable(selectors.folders().filter(archived_at__isnull=True), request)
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

    @admin.display(description=gettext_lazy("What scanning it gives"))
    def gives(self, row: Touchpoint) -> str:
        """Show the benefit to roles that may only look."""
        offer = selectors.offers_of([row]).get(row.pk)
        return offer.name if offer else "--"

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
        waiting = waiting_since(request, row)
        if waiting:
            return HttpResponse(status=204)
        return TemplateResponse(
            request,
            "touchpoints/_code.html",
            code_context(request, row, may_edit=self.has_change_permission(request, row)),
        )

    def picture(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Give the code's picture as a PNG file; it may be printed, so its end is announced from now on."""
        row = self.get_object(request, str(object_id))
        if row is None or not row.code_url or not self.has_view_permission(request, row):
            raise Http404
        services.mark_printed(touchpoint_ids=[row.pk], at=now())
        response = HttpResponse(code_png(row.code_url), content_type="image/png")
        response["Content-Disposition"] = f'attachment; filename="code-{row.scene}.png"'
        return response

    # --- the tree ----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the tree with its figures, or codes that want attention."""
        if not self.has_view_permission(request):
            viewer_of(request).require("touchpoints.view")
        if "branch" in request.GET:
            return TemplateResponse(request, "touchpoints/_lines.html", branch_context(request))
        context = {**tree_context(request), **(extra_context or {})}
        query = request.GET.copy()
        for name in OPTIONS:
            query.pop(name, None)  # Django's list takes what it does not know for a mistake
        request.GET = query  # type: ignore[assignment] # a copy that may still be changed
        return super().changelist_view(request, context)

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
            may_edit = self.has_change_permission(request, row)
            context.update(channel_context(request, row, may_edit=may_edit))
        return super().changeform_view(request, object_id, form_url, context)

    def _act(self, request: HttpRequest, row: Touchpoint, name: str) -> HttpResponse:
        said = act(request, row, name)
        if said:
            self.message_user(request, said, level="success")
        here = reverse("admin:touchpoints_touchpoint_change", args=[row.pk])
        waiting = {"waiting": f"{now().timestamp():.3f}"} if name == "renew" else {}
        return HttpResponseRedirect(here + on_screen.read_options(request).query(**waiting))

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
                gives=form.chosen_benefit,
            )
            obj.pk, obj.scene, obj.created_at = made.pk, made.scene, made.created_at
            services.make_codes(made.brand_id, [made.pk] if made.account_id else [])
            return
        obj.owner_kind, obj.owner_id = owner or ("", None)
        if obj.scene:
            obj.benefit_kind, obj.benefit_id = form.chosen_benefit or ("", None)
        # Only what the form has: the branch may have been moved or archived since this request read it.
        mine = {field.name for field in Touchpoint._meta.concrete_fields} & {*form.fields}
        obj.save(update_fields=sorted(mine | {"owner_kind", "owner_id", "benefit_kind", "benefit_id"}))
        if obj.scene:
            services.set_tags(touchpoint=obj, tags=list(tags))
        if obj.account_id:
            services.replies_changed(account_id=obj.account_id)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave the entry to the service that created the channel."""
