"""Pages of the material library: what there is, what each account has of it, where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from common.errors import AppError
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state
from console.http import brand_of, row_id
from console.registry import BulkColumn
from library import on_screen, selectors, services
from library.files import LARGEST, LIMITS
from library.models import MediaItem, MediaKind
from library.uses import uses_of
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest


class KindFilter(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """Which kind of file, or those that are no longer offered."""

    title = gettext_lazy("kind")
    parameter_name = "view"
    views: ClassVar = [
        *((kind.value.lower(), kind.label) for kind in MediaKind),
        ("away", pgettext_lazy("files", "Put away")),
    ]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the kinds."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to a kind; what was put away stands in its own view."""
        chosen = self.value()
        if chosen == "away":
            return queryset.filter(archived_at__isnull=False)
        queryset = queryset.filter(archived_at__isnull=True)
        return queryset.filter(kind=chosen.upper()) if chosen in dict(self.views) else queryset


def _at_wechat(ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    at = now()
    return {pk: [on_screen.copy(row, at=at) for row in rows] for pk, rows in selectors.copies_of(ids).items()}


def _copies_cell(copies: list[dict[str, Any]] | None, row: MediaItem) -> Any:
    best = next((copy for copy in copies or [] if copy["permanent"]), None) or next(iter(copies or []), None)
    return state(best["label"], best["tone"]) if best else gettext("uploaded when it is sent")


def _used(ids: list[int]) -> dict[int, int]:
    return {pk: len(uses) for pk, uses in uses_of(ids).items()}


class UploadForm(forms.Form):
    """A file that comes into the library."""

    kind = forms.ChoiceField(choices=MediaKind.choices)
    name = forms.CharField(max_length=60, required=False)
    description = forms.CharField(max_length=120, required=False)


@admin.register(MediaItem, site=site)
class MediaItemAdmin(ConsoleModelAdmin):
    """The brand's files."""

    area = "library"
    place = "content"
    tab = gettext_lazy("Material library")
    tab_order = 10
    add_label = gettext_lazy("Add a file")
    audit_writes = False  # the services write the entries
    empty_text = gettext_lazy(
        "Pictures, voice and video for replies and conversations. Here they stay; copies at WeChat are made afresh "
        "before they expire."
    )
    list_display = (
        "shown",
        "of_kind",
        "weighs",
        BulkColumn("copies", gettext_lazy("at WeChat"), _at_wechat, show=_copies_cell),
        BulkColumn("uses", gettext_lazy("used in"), _used, number=True, missing=0),
        "sent",
        moment("created_at", gettext_lazy("Added")),
    )
    list_display_links = ("shown",)
    list_filter = (KindFilter,)
    views_filter = KindFilter
    search_fields = ("name",)
    search_help_text = gettext_lazy("Name of a file")
    ordering = ("-created_at", "-pk")
    number_columns: ClassVar[tuple[str, ...]] = ("sent", "weighs")
    phone_columns: ClassVar[tuple[str, ...]] = ("shown", "copies")
    change_list_template = "library/list.html"

    @admin.display(description=pgettext_lazy("library", "File"))
    def shown(self, row: MediaItem) -> Any:
        """Show the picture itself, or what kind of file it is, with the name."""
        if row.content_type.startswith("image/"):
            face = format_html('<img src="{}" alt="" loading="lazy">', on_screen.file_link(row.pk))
        else:
            icon = on_screen.ICONS[MediaKind(row.kind)]
            face = format_html('<span class="material-symbols-outlined" aria-hidden="true">{}</span>', icon)
        return format_html('<span class="zy-thumb">{}</span> {}', face, row.name)

    @admin.display(description=gettext_lazy("kind"))
    def of_kind(self, row: MediaItem) -> str:
        """Show the kind."""
        return str(MediaKind(row.kind).label)

    @admin.display(description=gettext_lazy("size"))
    def weighs(self, row: MediaItem) -> str:
        """Show the size."""
        return on_screen.size(row.size)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Head the list with how full the accounts are."""
        accounts = list(OfficialAccount.objects.order_by("pk"))
        context = {"meters": on_screen.meters(accounts), **(extra_context or {})}
        return super().changelist_view(request, context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Add a file, or show one with its copies and uses."""
        item = self.get_object(request, object_id) if object_id else None
        if object_id and item is None:
            raise Http404
        if item is None:
            return self._add_page(request)
        if request.method == "POST":
            return self._act(request, item)
        return self._item_page(request, item)

    def _add_page(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        problem: AppError | None = None
        if request.method == "POST":
            form, upload = UploadForm(request.POST), request.FILES.get("file")
            if form.is_valid():
                try:
                    item = services.add_media(
                        name=form.cleaned_data["name"] or (upload.name or "" if upload else ""),
                        body=upload.read(LARGEST + 1) if upload else b"",
                        kind=form.cleaned_data["kind"],
                        description=form.cleaned_data["description"],
                        at=now(),
                        brand_id=brand_of(request).pk,
                    )
                except AppError as error:
                    problem = error
                else:
                    messages.success(request, gettext("“%(name)s” is in the library.") % {"name": item.name})
                    return HttpResponseRedirect(reverse("admin:library_mediaitem_change", args=[item.pk]))
        else:
            form = UploadForm()
        context = {
            **self.admin_site.each_context(request),
            "title": self.add_label,
            "zy_deeper": True,
            "form": form,
            "problem": problem,
            "kinds": [
                {"value": kind.value, "label": kind.label, "takes": LIMITS[kind].shown, "icon": on_screen.ICONS[kind]}
                for kind in MediaKind
            ],
            "chosen": form.data.get("kind", MediaKind.IMAGE),
        }
        return TemplateResponse(request, "library/add.html", context, status=400 if problem else 200)

    def _item_page(self, request: HttpRequest, item: MediaItem) -> HttpResponse:
        at, may_edit = now(), self.has_change_permission(request, item)
        copies = [on_screen.copy(row, at=at) for row in selectors.copies_of([item.pk])[item.pk]]
        kept = {copy["account"] for copy in copies if copy["permanent"] and copy["label"] != gettext("not kept")}
        accounts = [account for account in OfficialAccount.objects.order_by("pk") if account.name not in kept]
        context = {
            **self.admin_site.each_context(request),
            "title": item.name,
            "zy_object": item.name,
            "zy_deeper": True,
            "item": item,
            "kind": MediaKind(item.kind).label,
            "icon": on_screen.ICONS[MediaKind(item.kind)],
            "is_picture": item.content_type.startswith("image/"),
            "link": on_screen.file_link(item.pk),
            "size": on_screen.size(item.size),
            "copies": copies,
            "uses": uses_of([item.pk])[item.pk],
            "accounts": accounts if may_edit and item.archived_at is None else [],
            "may_edit": may_edit,
            "opts": self.opts,
        }
        return TemplateResponse(request, "library/item.html", context)

    def _act(self, request: HttpRequest, item: MediaItem) -> HttpResponse:
        if not self.has_change_permission(request, item):
            raise PermissionDenied
        act = self._acts(request, item).get(request.POST.get("act", ""))
        if act is None:
            raise Http404
        back = reverse("admin:library_mediaitem_change", args=[item.pk])
        try:
            messages.success(request, act())
        except AppError as error:
            if error.status == 404:
                raise
            messages.error(request, f"{error.message} {error.hint}".strip())
            return HttpResponseRedirect(back)
        gone = not MediaItem.objects.filter(pk=item.pk, archived_at__isnull=True).exists()
        return HttpResponseRedirect(reverse("admin:library_mediaitem_changelist") if gone else back)

    def _acts(self, request: HttpRequest, item: MediaItem) -> dict[str, Callable[[], str]]:
        def describe() -> str:
            services.describe_media(
                item_id=item.pk, name=request.POST.get("name", ""), description=request.POST.get("description", "")
            )
            return gettext("Saved.")

        def keep() -> str:
            account_id = row_id(request.POST.get("account")) or 0
            services.keep_for_good(item_id=item.pk, account_id=account_id, at=now())
            return gettext("It is being uploaded. WeChat keeps it from then on.")

        def leave() -> str:
            copy_id = row_id(request.POST.get("copy")) or 0
            services.take_away(copy_id=copy_id, item_id=item.pk, at=now())
            return gettext("It is being taken away from WeChat. Here it stays.")

        def away() -> str:
            services.put_away(item_id=item.pk, at=now())
            return gettext("It is no longer offered.")

        return {"describe": describe, "keep": keep, "leave": leave, "away": away}
