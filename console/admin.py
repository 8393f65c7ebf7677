"""The base of every list and form of the console: this brand's rows only, capabilities, audit, one look."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, FieldDoesNotExist, PermissionDenied
from django.db import IntegrityError, models, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList as UnfoldChangeList

from accounts.models import AuditEntry, RoleGrant, StaffUser
from accounts.roles import DataScope
from accounts.services import record_audit
from accounts.tenancy import BrandOwned
from common.postgres.planning import in_order
from console.changes import form_changes
from console.forms import BrandModelForm, refusing
from console.http import row_id, viewer_of
from console.registry import BulkColumn, Tab, columns, nav, shown_rows
from console.site import ConsoleSite, site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.forms import ModelForm
    from django_stubs_ext import StrOrPromise

COUNTED_TO = 10_000
LAST_PAGE = 200


class ConsoleChangeList(UnfoldChangeList):  # type: ignore[misc] # Unfold has no types
    """A list that counts only as far as people read, and pages only as far as people page."""

    page_num: int
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Fetch one page; far pages are refused in favour of the search."""
        self.page_num = max(1, min(self.page_num, LAST_PAGE))
        super().get_results(request)
        by = {*self.params}
        walked = not self.query and by <= {*(self.model_admin.walked if self.zy_whole else ())}
        with in_order() if walked else nullcontext():
            rows = list(self.result_list)
        bulk = {
            column.__name__: column.load([row.pk for row in rows])
            for column in self.list_display
            if isinstance(column, BulkColumn) and rows
        }
        for row in rows:
            row.zy_bulk = bulk
        self.result_list = rows

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        """Give the filtered rows, and remember them for the bounded count."""
        queryset = super().get_queryset(request, exclude_parameters)
        self.zy_queryset = queryset
        self.zy_whole = viewer_of(request).scope == DataScope.BRAND  # a narrower scope is looked up for everybody
        return queryset

    @property
    def bounded_count(self) -> int:
        """Count the filtered rows up to 10,000 (10,001 means more)."""
        if not hasattr(self, "_bounded"):
            if self.page_num == 1 and len(self.result_list) < self.list_per_page:
                self._bounded = len(self.result_list)  # the page shows everything there is
            else:
                with in_order():  # a bitmap is made of a whole brand before a row is counted
                    self._bounded = self.countable().order_by()[: COUNTED_TO + 1].count()
        return self._bounded

    def countable(self) -> models.QuerySet[Any]:
        """Give rows of which there are as many as in the list."""
        rows: models.QuerySet[Any] = self.zy_queryset
        return rows


class BrandFieldsMixin:
    """Fields that offer and accept only rows of this brand which the person's data scope reaches.

    The guarded manager gives the brand; people are a global table, so their choices come from the brand's roles.
    """

    admin_site: ConsoleSite

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer this brand's rows."""
        kwargs.setdefault("queryset", self.choices_for(db_field.remote_field.model, request))
        kwargs.setdefault("empty_label", gettext("(none)") if db_field.blank else None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer this brand's rows."""
        kwargs.setdefault("queryset", self.choices_for(db_field.remote_field.model, request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Drop the links for adding and editing related rows in a pop-up."""
        formfield = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if formfield is not None and hasattr(formfield.widget, "can_add_related"):
            formfield.widget = formfield.widget.widget
        return formfield

    def choices_for(self, model: type[models.Model], request: HttpRequest) -> models.QuerySet[Any]:
        """Give the rows that a reference may point to."""
        if issubclass(model, StaffUser):
            working = RoleGrant.objects.values("staff_user_id")
            return StaffUser.objects.filter(pk__in=working).order_by("username")
        if not issubclass(model, BrandOwned):
            raise PermissionDenied  # a global table has no place in a brand's form
        rows: models.QuerySet[Any] = model.objects.all()
        admin = self.admin_site._registry.get(model)  # noqa: SLF001 - the site's public lack of a getter
        if isinstance(admin, ConsoleModelAdmin):
            rows = admin.reachable(rows, request)
        return rows.order_by(*(("name",) if _has_field(model, "name") else ()), "pk")


class ConsoleModelAdmin(BrandFieldsMixin, ModelAdmin):  # type: ignore[misc] # Unfold has no types
    """A window on one kind of row of the brand in the address.

    `area` names the capability ("<area>.view", "<area>.edit"); `place` and `tab` put the list into the navigation;
    `phone_columns` stay on narrow screens; `views_filter` is a list filter shown as saved views above the list;
    `walked` are filters whose rows an index has in the order of the list: whoever sees the whole brand is shown them,
    and everything, by walking in it; `masked_fields` never show their value in the audit log; `empty_text` teaches
    what the page is for when there is nothing yet. Override `reachable` where a role's data scope is narrower than
    the brand.
    """

    area: ClassVar[str] = ""
    place: ClassVar[str] = ""
    tab: ClassVar[StrOrPromise] = ""
    tab_order: ClassVar[int] = 100
    phone_columns: ClassVar[tuple[str, ...]] = ()
    field_labels: ClassVar[dict[str, StrOrPromise]] = {}  # where the model's own word does not fit the page
    number_columns: ClassVar[tuple[str, ...]] = ()
    views_filter: ClassVar[Any] = None
    masked_fields: ClassVar[tuple[str, ...]] = ()
    allow_add: ClassVar[bool] = True
    allow_change: ClassVar[bool] = True
    allow_delete: ClassVar[bool] = False
    audit_writes: ClassVar[bool] = True  # False where the called service writes the audit entry itself
    walked: ClassVar[tuple[str, ...]] = ()
    empty_text: ClassVar[StrOrPromise] = ""
    add_label: ClassVar[StrOrPromise] = ""  # the primary button of the list: verb + object
    taken_text: ClassVar[StrOrPromise] = gettext_lazy("Not saved: something with this name or number already exists.")

    show_add_link = False
    sortable_by = ()
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = InfinitePaginator
    list_per_page = 50
    list_max_show_all = 0
    list_filter_submit = True
    list_filter_sheet = True
    list_fullwidth = True
    actions_on_top = True
    form = BrandModelForm
    save_as = False
    view_on_site = False
    compressed_fields = False
    empty_value_display = "--"
    change_list_template = "console/change_list.html"
    change_form_template = "console/change_form.html"
    object_history_template = "console/history.html"
    delete_confirmation_template = "console/delete.html"

    def __init__(self, model: type[models.Model], admin_site: ConsoleSite) -> None:
        """Put the list into the navigation."""
        super().__init__(model, admin_site)
        if self.place and self.tab:
            prefix = f"{model._meta.app_label}_{model._meta.model_name}_"
            tab = Tab(self.place, self.tab, f"{prefix}changelist", self.area, self.tab_order, prefix)
            nav.register(f"{self.place}.{model._meta.label_lower}", tab)

    # --- who may -----------------------------------------------------------------------------------------------------

    def may(self, request: HttpRequest, act: str) -> bool:
        """Say whether the person's role includes an act in this area."""
        return viewer_of(request).can(f"{self.area}.{act}")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app to roles that may see it."""
        return self.may(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let roles with "<area>.view" read."""
        return self.may(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let roles with "<area>.edit" add, where rows are made by hand."""
        return self.allow_add and self.may(request, "edit")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let roles with "<area>.edit" change, where rows are changed by hand."""
        return self.allow_change and self.may(request, "edit")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody delete, unless the page says otherwise."""
        return self.allow_delete and self.may(request, "edit")

    # --- which rows --------------------------------------------------------------------------------------------------

    def reachable(self, queryset: models.QuerySet[Any], request: HttpRequest) -> models.QuerySet[Any]:
        """Narrow rows to the person's data scope; here everything of the brand is in reach."""
        return queryset

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Give the brand's rows within the person's data scope."""
        queryset: models.QuerySet[Any] = super().get_queryset(request)
        return self.reachable(queryset, request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Look a row up; whoever may see none of its kind is refused before, so that no answer tells which exist."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        row = super().get_object(request, object_id, from_field)
        match = request.resolver_match
        is_shown = match is not None and match.url_name == f"{self.opts.app_label}_{self.opts.model_name}_change"
        if row is not None and is_shown and request.method in ("GET", "HEAD"):
            self._tell([row], is_page=True)
        return row

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Filter by what the page offers: Django would take every column, shown or not, as a way to guess values."""
        name, _separator, how = lookup.partition("__")
        if name != "pk" and not _is_field(self.model, name):
            return super().lookup_allowed(lookup, value, request)  # type: ignore[no-any-return] # filters of our own
        offered = {getattr(each, "parameter_name", each) for each in self.list_filter}
        return name in offered and how in {"", "exact", "in", "isnull"}

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        # Django redirects with a message that names the id; a missing row and another brand's must look alike.
        raise Http404

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Use the bounded list."""
        return ConsoleChangeList

    # --- what is written down ----------------------------------------------------------------------------------------

    def save_form(self, request: HttpRequest, form: ModelForm[Any], change: bool) -> Any:
        """Note before and after while the form still knows both."""
        request.zy_changes = form_changes(form, masked=self.masked_fields)  # type: ignore[attr-defined]
        return super().save_form(request, form, change)

    def save_formset(self, request: HttpRequest, form: ModelForm[Any], formset: Any, change: bool) -> None:
        """Save inline rows and note what changed in them."""
        super().save_formset(request, form, formset, change)
        changes: dict[str, Any] = getattr(request, "zy_changes", {})
        title = str(formset.model._meta.model_name)
        for row in formset.new_objects:
            changes.setdefault(f"{title}+", [None, []])[1].append(str(row))
        for row, fields in formset.changed_objects:
            changes.setdefault(f"{title}~", [None, []])[1].append(f"{row}: {', '.join(fields)}")
        for row in formset.deleted_objects:
            changes.setdefault(f"{title}-", [[], None])[0].append(str(row))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write the audit entry of a new row."""
        return self.audit(request, "add", obj, getattr(request, "zy_changes", {}))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write the audit entry of a change; saving without a change is none."""
        changes = getattr(request, "zy_changes", {})
        return self.audit(request, "change", obj, changes) if changes else None

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Write the audit entries of deleted rows."""
        return [self.audit(request, "delete", obj, {}) for obj in queryset]

    def log_deletion(self, request: HttpRequest, obj: Any, object_repr: str) -> Any:
        """Write the audit entry of a deleted row."""
        return self.audit(request, "delete", obj, {})

    def audit(self, request: HttpRequest, action: str, obj: Any, changes: dict[str, Any], reason: str = "") -> Any:
        """Write one line of the audit log, unless the service that acted has done so."""
        if not self.audit_writes:
            return None
        return record_audit(action=action, obj=obj, changes=changes, reason=reason)

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show what was done to one row, newest first."""
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        entries = AuditEntry.objects.filter(object_type=self.opts.label_lower, object_id=str(obj.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("History of “%(name)s”") % {"name": obj},
            "entries": entries.order_by("-at", "-pk")[:100],
            "object": obj,
            "opts": self.opts,
            "zy_object": obj,
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template, context)

    # --- how it looks ------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list under its own title."""
        if any(row_id(key) is None for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest  # no list offers such a row
        context = {
            "title": self.list_title(),
            "zy_hidden_on_phone": self._hidden_on_phone(request),
            "zy_numbers": self._numbers(request),
            "zy_views": self.saved_views(request),
            "zy_add_label": self.add_label,
            "zy_empty_text": self.empty_text,
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        if isinstance(response, TemplateResponse) and "cl" in (response.context_data or {}):
            self._tell(response.context_data["cl"].result_list, is_page=False)  # type: ignore[index]
        return response

    def _tell(self, rows: Sequence[Any], *, is_page: bool) -> None:
        for _key, told in shown_rows.items():
            told(self.opts.label_lower, rows, is_page)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Give the columns, with those that other apps add before the last one."""
        shown = list(super().get_list_display(request))
        added = [
            entry
            for _key, entry in columns.items()
            if entry.model == self.opts.label_lower and viewer_of(request).can(f"{entry.area}.view")
        ]
        for entry in sorted(added, key=lambda entry: entry.order):
            shown.insert(len(shown) - 1, entry.column)
        return shown

    def saved_views(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Give the saved views above the list: links that set one filter."""
        if self.views_filter is None:
            return []
        name = self.views_filter.parameter_name
        chosen = request.GET.get(name, "")
        rows = [{"label": gettext("All"), "link": "?", "active": not chosen}]
        for key, label in self.views_filter.views:
            rows.append({"label": label, "link": f"?{name}={key}", "active": chosen == key})
        return rows

    def list_title(self) -> StrOrPromise:
        """Give the heading of the list."""
        return self.tab or self.opts.verbose_name_plural

    def _hidden_on_phone(self, request: HttpRequest) -> list[str]:
        if not self.phone_columns:
            return []
        names = [_column_name(column) for column in self.get_list_display(request)]
        return [name for name in names if name not in self.phone_columns]

    def _numbers(self, request: HttpRequest) -> list[str]:
        bulk = [column for column in self.get_list_display(request) if isinstance(column, BulkColumn)]
        return [*self.number_columns, *(column.__name__ for column in bulk if column.number)]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show or save one row. A value that is taken (perhaps by another brand) is refused without saying by whom."""
        context = {"zy_delete": self.allow_delete, "zy_deeper": object_id is None, **(extra_context or {})}
        if object_id is None and self.add_label:
            context.setdefault("title", self.add_label)
        try:
            with transaction.atomic():
                return super().changeform_view(request, object_id, form_url, context)
        except IntegrityError:
            request.zy_taken = True  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Give the form; after a refusal of the database, the same form with the reason."""
        form = super().get_form(request, obj, change, **kwargs)
        return refusing(form, str(self.taken_text)) if getattr(request, "zy_taken", False) else form

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Head the form with the name of the row."""
        obj = kwargs.get("obj")
        context.update(show_save_and_add_another=False, show_save_and_continue=False, subtitle=None)
        context["zy_may_save"] = (
            self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)
        )
        if obj is not None:
            context["title"] = str(obj)
            context["zy_object"] = obj
        elif not self.add_label:
            context["title"] = gettext("New %(name)s") % {"name": self.opts.verbose_name}
        return super().render_change_form(request, context, *args, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Use the page's own words where they differ from the model's."""
        if isinstance(db_field, models.URLField):
            kwargs.setdefault("assume_scheme", "https")
        if db_field.name in self.field_labels:
            kwargs.setdefault("label", self.field_labels[db_field.name])
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_actions(self, request: HttpRequest) -> Any:
        """Drop Django's bulk delete; what may be deleted is deleted one by one."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


class ConsoleTabularInline(BrandFieldsMixin, TabularInline):  # type: ignore[misc]
    """Rows below a form; the brand comes from the scope."""

    extra = 0
    form = BrandModelForm
    show_change_link = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the page the rows stand on."""
        return viewer_of(request).can(f"{self._area()}.edit")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the page the rows stand on."""
        return viewer_of(request).can(f"{self._area()}.edit")

    has_delete_permission = has_change_permission

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the page the rows stand on."""
        return viewer_of(request).can(f"{self._area()}.view")

    def _area(self) -> str:
        admin = self.admin_site._registry.get(self.parent_model)  # noqa: SLF001
        return getattr(admin, "area", "")


def _column_name(column: Any) -> str:
    return column if isinstance(column, str) else str(column.__name__)


def _is_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def _has_field(model: type[models.Model], name: str) -> bool:
    return any(field.name == name for field in model._meta.fields)


__all__ = ["ConsoleModelAdmin", "ConsoleTabularInline", "site"]
