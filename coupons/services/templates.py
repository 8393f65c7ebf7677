"""Changes to templates: drafts, the versions coupons are issued from, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from coupons.errors import TemplateRefused
from coupons.models import Template, TemplateState, TemplateVersion
from coupons.rules import Validity, faults, read, valid_between
from coupons.services.moves import codes_say_anew
from loyalty.selectors.points import zone

if TYPE_CHECKING:
    from datetime import datetime

_SETTINGS: Final = ("name", "total", "per_member", "claimable", "by_guides", "points_price", "draft", "updated_at")


@transaction.atomic
def save_template(*, template: Template, at: datetime) -> Template:
    """Save a template's draft and budgets; what coupons are issued from stays until the draft is activated.

    Raises TemplateRefused.
    """
    is_new = template.pk is None
    template.updated_at = at
    if is_new:
        template.save()
    else:
        before = Template.objects.select_for_update().get(pk=template.pk)
        if template.total is not None and template.total < before.taken:
            raise TemplateRefused(
                _("Not saved. %(taken)s of these coupons have been given or printed.") % {"taken": f"{before.taken:,}"},
                field="total",
            )
        template.save(update_fields=list(_SETTINGS))
        codes_say_anew(template.pk)
    record_audit(
        action="create coupon template" if is_new else "change coupon template",
        obj=template,
        changes={"draft": template.draft, "total": template.total, "per member": template.per_member},
    )
    return template


@transaction.atomic
def activate_template(*, template_id: int, at: datetime) -> TemplateVersion:
    """Make the draft the version coupons are issued from now on; those given keep theirs. Raises TemplateRefused."""
    template = Template.objects.select_for_update().get(pk=template_id)
    wrong = faults(template.draft)
    if wrong:
        field, message = next(iter(wrong.items()))
        raise TemplateRefused(str(message), field=field)
    rule = read(template.draft)
    if rule.validity == Validity.FIXED and valid_between(rule, issued_at=at, zone=zone())[1] <= at:
        raise TemplateRefused(_("Not turned on. Its last day is over."), field="last_day")
    newest = TemplateVersion.objects.filter(template=template).order_by("-number").first()
    if newest is None or newest.rule != template.draft or newest.name != template.name:
        newest = TemplateVersion.objects.create(
            template=template,
            number=newest.number + 1 if newest else 1,
            name=template.name,
            rule=template.draft,
            since=at,
        )
    template.state, template.updated_at = TemplateState.ACTIVE, at
    template.save(update_fields=["state", "updated_at"])
    codes_say_anew(template.pk)
    record_audit(action="activate coupon template", obj=template, changes={"version": [None, newest.number]})
    return newest


@transaction.atomic
def stop_template(*, template_id: int, at: datetime) -> Template:
    """Give no more coupons of a template; those given can be used."""
    template = Template.objects.select_for_update().get(pk=template_id)
    template.state, template.updated_at = TemplateState.STOPPED, at
    template.save(update_fields=["state", "updated_at"])
    codes_say_anew(template.pk)
    record_audit(action="stop coupon template", obj=template)
    return template
