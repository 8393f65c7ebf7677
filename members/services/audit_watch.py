"""The audit log is sealed, anchored and verified by itself; word to the brand when it was bent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Exists, F, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.audit_chain import FIRST, anchor_log, seal_log
from accounts.audit_proof import Report, keep_report, verify_log, verify_on
from accounts.models import AuditBlock, AuditEntry, AuditState, Brand
from accounts.tenancy import brand_scope, every_brand
from wechat_gateway import incidents

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

BROKEN: Final = "members.audit_broken"
VERIFY_EVERY: Final = timedelta(days=1)

incidents.kinds.register(
    BROKEN,
    incidents.Kind(
        gettext_lazy("The audit log was changed behind the product's back"),
        gettext_lazy("Everything works; what the log says can no longer be relied on."),
        cause=gettext_lazy(
            "Entries, or their seals, are not what they were when they were sealed. Only somebody with access to the "
            "database itself can do that, or a backup was restored."
        ),
        action=gettext_lazy(
            "The page of the audit log says what and where. Keep a copy of the database and the anchors, find out who "
            "had access, and compare with a backup."
        ),
    ),
)


def brands_to_seal(*, at: datetime) -> list[int]:
    """Find the brands whose audit log has entries without a seal, or which are to be anchored or verified."""
    with every_brand(reason="audit logs to be sealed"):
        last = AuditBlock.objects.filter(brand=OuterRef("pk")).order_by("-number").values("upto")[:1]
        newer = AuditEntry.objects.filter(brand=OuterRef("pk"), pk__gt=Coalesce(OuterRef("last"), FIRST))
        states = AuditState.objects.filter(brand=OuterRef("pk"))
        rested = states.filter(verified_at__gt=at - VERIFY_EVERY, sealed_block__lte=F("anchored_block"))
        brands = Brand.objects.annotate(last=Subquery(last)).filter(Exists(newer) | ~Exists(rested))
        return list(brands.order_by("pk").values_list("pk", flat=True))


def watch_audit(brand_id: int, *, at: datetime) -> Report | None:
    """Seal what is new, anchor it once an hour, verify all of it once a day; gives a report that is through."""
    seal_log(brand_id, at=at)
    anchor_log(brand_id, at=at)
    with brand_scope(brand_id):
        state = AuditState.objects.first()
        if state is not None and state.verified_at is not None and at - state.verified_at < VERIFY_EVERY:
            return None
    report = verify_on(brand_id, at=at)
    if report is not None:
        _tell(brand_id, report, at)
    return report


def verify_audit(brand_id: int, *, at: datetime, more_anchors: Iterable[dict[str, Any]] = ()) -> Report:
    """Seal what is new and verify all of the log at once; the page of the log says what was found."""
    seal_log(brand_id, at=at)
    report = verify_log(brand_id, at=at, more_anchors=more_anchors)
    keep_report(brand_id, report, at=at)
    _tell(brand_id, report, at)
    return report


def _tell(brand_id: int, report: Report, at: datetime) -> None:
    with brand_scope(brand_id):
        if not report.findings:
            incidents.close_incident(kind=BROKEN, at=at)
            return
        detail = _("%(count)s findings") % {"count": len(report.findings)}
        incidents.open_incident(kind=BROKEN, at=at, detail=detail)
