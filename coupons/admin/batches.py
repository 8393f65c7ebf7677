"""Batches of printed codes: how far they are made and used, their list for the printer, and stopping them."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSingleDateWidget

from common.clock import now
from common.days import OUT_OF_YEARS, in_years
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.forms import BrandModelForm
from coupons import services
from coupons.models import CodeBatch, Template, TemplateState
from coupons.rules import read
from coupons.services.batches import MOST_CODES
from coupons.words import rule_sentence
from loyalty.selectors.points import zone

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase


class BatchForm(BrandModelForm):
    """How many codes of which coupon, for what, until when."""

    count = forms.IntegerField(
        label=pgettext_lazy("coupon", "How many codes"),
        min_value=1,
        max_value=MOST_CODES,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("They come out of the coupon's budget at once."),
    )
    last_day = forms.DateField(
        label=gettext_lazy("Can be entered until"),
        required=False,
        widget=UnfoldAdminSingleDateWidget,
        help_text=gettext_lazy("The last day; empty means without end."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the coupons that are given now."""
        super().__init__(*args, **kwargs)
        field: Any = self.fields.get("template")
        if field is not None:
            field.queryset = Template.objects.filter(state=TemplateState.ACTIVE).order_by("name", "pk")

    def clean_last_day(self) -> date | None:
        """Refuse a day that no moment can be made of."""
        day: date | None = self.cleaned_data["last_day"]
        if day is not None and not in_years(day):
            raise forms.ValidationError(OUT_OF_YEARS)
        return day


@admin.register(CodeBatch, site=site)
class CodeBatchAdmin(ConsoleModelAdmin):
    """Codes for packages, letters and posters."""

    area = "coupons"
    place = "rewards"
    tab = gettext_lazy("Coupon codes")
    tab_order = 60
    add_label = gettext_lazy("Make codes")
    audit_writes = False
    form = BatchForm
    fields = ("template", "label", "count", "last_day")
    empty_text = gettext_lazy("Codes are printed on packages, letters and posters; each can be entered once.")
    list_display = (moment("created_at", pgettext_lazy("coupon codes", "made")), "titled", "progress", "used", "status")
    list_display_links = ("titled",)
    list_select_related = ("template", "version")
    ordering = ("brand", "-id")
    number_columns: ClassVar[tuple[str, ...]] = ("progress", "used")
    phone_columns: ClassVar[tuple[str, ...]] = ("titled", "used", "status")
    field_labels: ClassVar[dict[str, Any]] = {
        "template": gettext_lazy("Coupon"),
        "label": gettext_lazy("What they are for"),
    }

    @admin.display(description=gettext_lazy("what they are for"))
    def titled(self, row: CodeBatch) -> Any:
        """Show what the codes are for and of which coupon they are."""
        return two_lines(row.label, row.version.name)

    @admin.display(description=pgettext_lazy("coupon codes", "codes"))
    def progress(self, row: CodeBatch) -> Any:
        """Show how many there are, and of how many while they are made."""
        return formats.count(row.made) if row.made == row.count else f"{row.made:,} / {row.count:,}"

    @admin.display(description=gettext_lazy("entered"))
    def used(self, row: CodeBatch) -> Any:
        """Show how many were entered."""
        return two_lines(formats.count(row.redeemed), formats.rate(formats.share(row.redeemed, row.made)))

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: CodeBatch) -> Any:
        """Show how the batch stands."""
        if row.stopped_at is not None:
            return state(gettext("Stopped"), "warning")
        if row.made < row.count:
            return state(gettext("Being made"), "info")
        if row.until is not None and row.until <= now():
            return state(gettext("Ended"))
        return state(gettext("In use"), "success")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody change a batch in a form."""
        return False

    def save_model(self, request: HttpRequest, obj: CodeBatch, form: Any, change: bool) -> None:
        """Make the batch through the service."""
        day = form.cleaned_data.get("last_day")
        until = datetime.combine(day + timedelta(days=1), time(0), tzinfo=zone()) if day else None
        made = services.create_batch(template=obj.template, label=obj.label, count=obj.count, until=until, at=now())
        obj.pk = made.pk

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Show the new batch."""
        messages.success(request, gettext("The codes are being made. A million take less than a minute."))
        return HttpResponseRedirect(reverse("admin:coupons_codebatch_change", args=[obj.pk]))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show a batch; give its list; stop it."""
        if object_id is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            return self._act(request, row)
        may = self.may(request, "edit")
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Coupon codes"),
            "zy_object": row.label,
            "zy_deeper": True,
            "row": row,
            "status": self.status(row),
            "sentence": rule_sentence(read(row.version.rule)),
            "left": row.made - row.redeemed,
            "making": row.made < row.count and row.stopped_at is None,
            "may_stop": may and row.stopped_at is None,
            "may_download": may and row.made > 0,
            "template_link": reverse("admin:coupons_template_change", args=[row.template_id]),
            "list_link": reverse("admin:coupons_codebatch_changelist"),
        }
        return TemplateResponse(request, "coupons/batch.html", context)

    def _act(self, request: HttpRequest, row: CodeBatch) -> HttpResponseBase:
        if not self.may(request, "edit"):
            raise PermissionDenied
        act = request.POST.get("act")
        if act == "download":
            return _download(row)
        if act != "stop":
            raise Http404
        services.stop_batch(batch_id=row.pk, at=now())
        messages.success(request, gettext("Stopped: these codes can no longer be entered."))
        return HttpResponseRedirect(reverse("admin:coupons_codebatch_change", args=[row.pk]))


def _download(row: CodeBatch) -> HttpResponse:
    text = io.StringIO()
    text.write(
        "\ufeffcode,used\r\n"
    )  # a spreadsheet reads it as UTF-8; a code holds nothing it could take as a formula
    text.writelines(f"{code},{int(used)}\r\n" for code, used in services.read_codes(batch=row))
    answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="codes-{row.pk}.csv"'
    answer["Cache-Control"] = "private, no-store"
    return answer
