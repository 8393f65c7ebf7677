"""Settings pages about people and keys: staff and roles, API keys, the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from django import forms
from django.contrib import admin
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, OuterRef
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from accounts import audit_proof, services
from accounts.audit_chain import anchor_now
from accounts.models import ApiKey, AuditEntry, AuditState, RoleGrant, StaffUser
from accounts.rest.scopes import SCOPES
from accounts.roles import NARROW, DataScope, Role
from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, recently, state, two_lines
from console.forms import BrandModelForm
from console.http import row_id
from console.labels import ACTIONS, action_label, kind_label, source_label, via_label
from console.registry import Page, pages

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

KEY_SCOPES = list(SCOPES.items())


class GrantForm(BrandModelForm):
    """Who gets which role, with a new account and a first password to be changed.

    An account that exists is never taken over here: whoever made it may know its password, and would get into this
    brand with it. For a person who works for several brands the installation's own people use `grant_role`.
    """

    username = forms.CharField(
        label=gettext_lazy("User name"),
        max_length=150,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("New, and the same for signing in everywhere."),
    )
    person = forms.CharField(
        label=gettext_lazy("Name"), max_length=60, required=False, widget=UnfoldAdminTextInputWidget()
    )
    password = forms.CharField(
        label=gettext_lazy("First password"),
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Only for a new account: at least ten characters. Pass it on in person."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Keep the password out of the audit log."""
        super().__init__(*args, **kwargs)
        if "password" in self.fields:
            self.fields["password"].write_only = True  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Ask for a good first password when the account is new; refuse a person who has a role here."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("role") in NARROW and cleaned.get("scope") == DataScope.BRAND:
            self.add_error(
                "scope",
                gettext("“%(role)s” is for a part of the brand. Choose own stores or own members.")
                % {"role": Role(cleaned["role"]).label},
            )
        if "username" not in self.fields or "username" not in cleaned:
            return cleaned
        user = StaffUser.objects.filter(username=cleaned["username"]).first()
        if user is not None:
            if RoleGrant.objects.filter(staff_user=user).exists():
                self.add_error("username", gettext("This person has a role here already: open it in the list."))
            else:
                self.add_error(
                    "username",
                    gettext(
                        "This user name is taken. Choose another; for somebody who works for several brands, "
                        "ask the people who run this installation.",
                    ),
                )
            return cleaned
        try:
            validate_password(cleaned.get("password") or "", StaffUser(username=cleaned["username"]))
        except forms.ValidationError as error:
            self.add_error("password", error)
        return cleaned


@admin.register(RoleGrant, site=site)
class RoleGrantAdmin(ConsoleModelAdmin):
    """The people who work for the brand."""

    area = "staff"
    place = "settings"
    tab = gettext_lazy("Staff and roles")
    tab_order = 20
    add_label = gettext_lazy("Add a staff member")
    allow_delete = True
    audit_writes = False  # grant_role and revoke_role write the entries
    empty_text = gettext_lazy("Nobody works for this brand yet.")
    form = GrantForm
    list_display = (
        "person",
        "role",
        "reach",
        "second_factor",
        recently("last_login", gettext_lazy("last signed in")),
        moment("created_at", gettext_lazy("since")),
    )
    list_select_related = ("staff_user",)
    ordering = ("brand", "staff_user__username", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("person", "role")

    @admin.display(description=gettext_lazy("staff member"))
    def person(self, row: RoleGrant) -> Any:
        """Show name and user name."""
        return two_lines(row.staff_user, row.staff_user.username)

    @admin.display(description=gettext_lazy("data scope"))
    def reach(self, row: RoleGrant) -> str:
        """Show over which rows the role reaches."""
        return str(DataScope(row.scope).label)

    @admin.display(description=gettext_lazy("second factor"))
    def second_factor(self, row: RoleGrant) -> Any:
        """Show whether signing in asks for six digits."""
        return state(gettext("on"), "success") if getattr(row, "has_totp", False) else state(gettext("off"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Bring along what the list shows about the account."""
        devices = TOTPDevice.objects.filter(user_id=OuterRef("staff_user_id"), confirmed=True)
        rows: QuerySet[Any] = super().get_queryset(request)
        found: QuerySet[Any] = rows.annotate(has_totp=Exists(devices), last_login=F("staff_user__last_login"))
        return found

    def get_fieldsets(self, request: HttpRequest, obj: RoleGrant | None = None) -> Any:
        """Ask for the account only when somebody is added."""
        if obj is None:
            return ((None, {"fields": ("username", "person", "password", "role", "scope")}),)
        return ((None, {"fields": ("role", "scope")}),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Leave the account's fields out where the person is known."""
        form = super().get_form(request, obj, change, **kwargs)
        if obj is None:
            return form
        for name in ("username", "person", "password"):
            form.base_fields.pop(name, None)
        return form

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Offer the stores once the role exists."""
        return super().get_inlines(request, obj) if obj is not None else ()

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Head the page with the person's name."""
        obj = kwargs.get("obj")
        response = super().render_change_form(request, context, *args, **kwargs)
        if obj is not None:
            response.context_data["title"] = str(obj.staff_user)
            response.context_data["zy_object"] = obj.staff_user
        return response

    def save_model(self, request: HttpRequest, obj: RoleGrant, form: Any, change: bool) -> None:
        """Grant through the service; a new person gets an account first."""
        user = obj.staff_user if change else self._account(form.cleaned_data)
        made = services.grant_role(staff_user=user, role=obj.role, scope=obj.scope)
        obj.pk, obj.staff_user, obj.created_at = made.pk, user, made.created_at

    @staticmethod
    def _account(data: dict[str, Any]) -> StaffUser:
        user = StaffUser(username=data["username"], name=data.get("person", ""))
        user.set_password(data["password"])
        user.save()
        return user

    def delete_model(self, request: HttpRequest, obj: RoleGrant) -> None:
        """Take the role away through the service; the account stays."""
        services.revoke_role(grant=obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Ask nothing about related rows: the database answers for them."""
        return [str(obj) for obj in objs], {}, set(), []


class KeyForm(BrandModelForm):
    """What another system needs a key for, and what the key may do."""

    allowed = forms.MultipleChoiceField(
        label=gettext_lazy("May"),
        choices=KEY_SCOPES,
        widget=forms.CheckboxSelectMultiple,
    )


@admin.register(ApiKey, site=site)
class ApiKeyAdmin(ConsoleModelAdmin):
    """Keys of the brand's other systems. A key is shown once, when it is issued."""

    area = "keys"
    place = "settings"
    tab = gettext_lazy("Open API")
    tab_order = 50
    add_label = gettext_lazy("Issue API key")
    audit_writes = False  # issue_api_key and revoke_api_key write the entries
    empty_text = gettext_lazy("Other systems of the brand read and write through the REST API with a key of their own.")
    form = KeyForm
    fields = ("label", "allowed")
    list_display = (
        "label",
        "begins",
        "allowed_to",
        recently("last_used_at", gettext_lazy("last used")),
        moment("created_at", gettext_lazy("created")),
        "valid",
    )
    ordering = ("brand", "-created_at", "-pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("label", "valid")

    @admin.display(description=gettext_lazy("begins with"))
    def begins(self, row: ApiKey) -> str:
        """Show the beginning, which is no secret."""
        return f"{row.prefix}…"

    @admin.display(description=gettext_lazy("may"))
    def allowed_to(self, row: ApiKey) -> str:
        """Show what the key may do."""
        labels = {key: str(label) for key, label in KEY_SCOPES}
        return gettext(", ").join(labels.get(scope, scope) for scope in row.scopes) or "--"

    @admin.display(description=gettext_lazy("state"))
    def valid(self, row: ApiKey) -> Any:
        """Show whether the key works."""
        return state(gettext("revoked")) if row.revoked_at else state(gettext("in use"), "success")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Issue a key and show it once; or show a key with the button that revokes it."""
        key = self.get_object(request, object_id) if object_id else None
        if object_id and key is None:
            raise Http404
        if key is not None:
            return self._key_page(request, key)
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.get_form(request)(request.POST or None)
        context = {**self.admin_site.each_context(request), "title": self.add_label, "zy_deeper": True, "form": form}
        if request.method == "POST" and form.is_valid():
            made, clear = services.issue_api_key(
                label=form.cleaned_data["label"],
                scopes=form.cleaned_data["allowed"],
                at=now(),
            )
            context.update(clear=clear, key=made, title=gettext("API key “%(label)s”") % {"label": made.label})
        return TemplateResponse(request, "console/api_key.html", context)

    def _key_page(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        if request.method == "POST" and request.POST.get("act") == "revoke":
            if not self.has_change_permission(request, key):
                raise PermissionDenied
            services.revoke_api_key(key=key, at=now())
            self.message_user(request, gettext("The key is revoked; it stops working within seconds."), level="success")
            return HttpResponseRedirect(reverse("admin:accounts_apikey_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": key.label,
            "zy_object": key.label,
            "key": key,
            "may": self.allowed_to(key),
            "may_revoke": self.has_change_permission(request, key) and key.revoked_at is None,
            "opts": self.opts,
        }
        return TemplateResponse(request, "console/api_key.html", context)


class ActionFilter(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """What was done."""

    title = gettext_lazy("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the known actions."""
        return sorted(((key, str(label)) for key, label in ACTIONS.items()), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen action."""
        return queryset.filter(action=self.value()) if self.value() else queryset


class WhoFilter(DropdownFilter):  # type: ignore[misc]
    """Who did it: a person with a role here."""

    title = gettext_lazy("who")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the brand's people."""
        grants = RoleGrant.objects.select_related("staff_user").order_by("staff_user__username")[:200]
        return [(str(grant.staff_user_id), str(grant.staff_user)) for grant in grants]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen person."""
        if not self.value():
            return queryset
        staff_id = row_id(self.value())
        return queryset.none() if staff_id is None else queryset.filter(actor_id=staff_id)


class WhenFilter(DropdownFilter):  # type: ignore[misc]
    """When it was done."""

    title = gettext_lazy("period")
    parameter_name = "days"
    views: ClassVar = [
        ("1", gettext_lazy("Last 24 hours")),
        ("7", gettext_lazy("Last 7 days")),
        ("30", gettext_lazy("Last 30 days")),
    ]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the periods."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen period."""
        if self.value() not in dict(self.views):
            return queryset
        return queryset.filter(at__gte=now() - timedelta(days=int(self.value())))


_FINDINGS = {
    audit_proof.ALTERED: gettext_lazy("Entry %(number)s was changed"),
    audit_proof.REMOVED: gettext_lazy("Entry %(number)s was removed"),
    audit_proof.INSERTED: gettext_lazy("Entry %(number)s was put in afterwards"),
    audit_proof.BLOCK: gettext_lazy("Seal %(number)s was changed"),
    audit_proof.MISSING: gettext_lazy("Seal %(number)s is missing"),
    audit_proof.CUT: gettext_lazy("The end of the log is missing: anchor of seal %(number)s"),
    audit_proof.REWRITTEN: gettext_lazy("The log was written anew: seal %(number)s is not the one that was anchored"),
    audit_proof.FORGED: gettext_lazy("Anchor %(number)s is not one of ours"),
    audit_proof.UNANCHORED: gettext_lazy("Anchors are missing: the last seal, %(number)s, has none"),
}
_MOST_SHOWN = 10


def audit_seal() -> dict[str, Any]:
    """Say how far the log of the brand in scope is sealed and anchored, and what the last verification found."""
    row = AuditState.objects.first()
    if row is None or row.sealed_at is None:
        return {}
    report = audit_proof.Report.of(row.verified)
    found = [_FINDINGS[what] % {"number": number} for what, number in report.findings if what in _FINDINGS]
    return {
        "sealed_at": row.sealed_at,
        "anchored_at": row.anchored_at,
        "verified_at": row.verified_at,
        "entries": report.entries,
        "nameless": report.nameless,
        "found": found[:_MOST_SHOWN],
        "more": max(0, len(found) - _MOST_SHOWN),
        "anchor_link": reverse("admin:audit_anchor"),
    }


def audit_anchor(request: HttpRequest) -> HttpResponse:
    """Hand out an anchor of the newest seal, to be kept where nobody of the installation can change it."""
    brand = request.brand  # type: ignore[attr-defined]
    anchor = anchor_now(brand.pk, at=now())
    if anchor is None:
        raise Http404
    answer = HttpResponse(
        orjson.dumps(anchor, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE), content_type="application/json"
    )
    answer["Content-Disposition"] = f'attachment; filename="audit-anchor-{brand.slug}-{anchor["block"]}.jsonl"'
    answer["Cache-Control"] = "no-store"
    return answer


pages.register("audit_anchor", Page("audit/anchor/", audit_anchor, "audit_anchor", "audit"))


@admin.register(AuditEntry, site=site)
class AuditEntryAdmin(ConsoleModelAdmin):
    """Who did what, with the values before and after. Nobody can change it."""

    area = "audit"
    place = "settings"
    tab = gettext_lazy("Audit log")
    tab_order = 40
    allow_add = False
    allow_change = False
    empty_text = gettext_lazy("Every change made here, over the API or by the system is written down.")
    list_display = (
        moment("at", gettext_lazy("when")),
        "who",
        "what",
        "kind",
        "thing",
        "reason_text",
        "through",
    )
    list_filter = (WhenFilter, WhoFilter, ActionFilter)
    views_filter = WhenFilter
    search_fields = ("object_label",)
    search_help_text = gettext_lazy("Name of the object")
    ordering = ("brand", "-at", "-pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("at", "who", "what", "thing")
    change_list_template = "console/audit_log.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Say above the list how far it is sealed, and what the last verification found."""
        return super().changelist_view(request, {"seal": audit_seal(), **(extra_context or {})})

    @admin.display(description=gettext_lazy("who"))
    def who(self, row: AuditEntry) -> Any:
        """Show the person and the role they acted in."""
        role = Role(row.role).label if row.role in Role.values else ""
        kind, _space, number = row.actor_label.partition(" ")
        if kind == "member" and number.isdigit():  # they did it themselves, in the mini program
            return two_lines(gettext("Member %(number)s") % {"number": number}, role)
        return two_lines(gettext("System") if row.actor_label == "system" else row.actor_label, role)

    @admin.display(description=gettext_lazy("what"))
    def what(self, row: AuditEntry) -> str:
        """Show the action in words."""
        return action_label(row.action)

    @admin.display(description=gettext_lazy("kind"))
    def kind(self, row: AuditEntry) -> str:
        """Show what kind of thing it was done to."""
        return kind_label(row.object_type)

    @admin.display(description=gettext_lazy("object"))
    def thing(self, row: AuditEntry) -> str:
        """Show the name of the object; a bare number gets its sign, a role its words, other codes behind it none."""
        number, _space, code = row.object_label.partition(" ")
        if number.isdigit() and code in Role.values:
            return f"{Role(code).label} #{number}"
        return f"#{number}" if number.isdigit() and code.isascii() else row.object_label

    @admin.display(description=gettext_lazy("reason"))
    def reason_text(self, row: AuditEntry) -> str:
        """Show the reason that was given."""
        return source_label(row.reason) or "--"

    @admin.display(description=gettext_lazy("through"))
    def through(self, row: AuditEntry) -> str:
        """Show through what it was done."""
        return via_label(row.via)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show one entry with the values before and after."""
        entry = self.get_object(request, object_id) if object_id else None
        if entry is None or not self.has_view_permission(request, entry):
            raise Http404
        title = gettext("%(action)s: %(object)s") % {"action": action_label(entry.action), "object": self.thing(entry)}
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "zy_object": title,
            "entry": entry,
            "reason": self.reason_text(entry),
            "who": self.who(entry),
            "kind": self.kind(entry),
            "through": self.through(entry),
        }
        return TemplateResponse(request, "console/audit_entry.html", context)
