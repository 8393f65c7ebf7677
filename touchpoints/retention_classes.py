"""How long the details of visits are kept; the visits themselves stay, because every figure is counted from them."""

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from members.retention import DataClass, blank_piece, classes
from touchpoints.models import Touch


def _detailed(before: datetime) -> QuerySet[Any]:
    return Touch.objects.filter(~Q(opening="") | Q(push_id__isnull=False), at__lt=before)


classes.register(
    "touches",
    DataClass(
        label=_("Details of visits: which message, which opening of a mini-program"),
        law=_("PIPL art. 19; the visit stays, figures do not change"),
        old=_detailed,
        proposed=365,
        least=30,
        most=1_095,
        drop=lambda before: blank_piece(_detailed(before), opening="", push_id=None),
        anonymous=True,
        order=40,
    ),
)
