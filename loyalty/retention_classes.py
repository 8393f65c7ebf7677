"""How long the ledger is kept: nothing of it ever goes, and after a deletion it names nobody."""

from django.utils.translation import gettext_lazy as _

from loyalty.models import Fact, Journal
from members.retention import DataClass, classes

classes.register(
    "ledger",
    DataClass(
        label=_("Ledger of points"),
        law=_("Accounting Law art. 23: books stay; without a name once the person is deleted"),
        old=lambda before: Journal.objects.filter(at__lt=before),
        days=lambda: 3_650,
        by=_("Kept: without it no balance can be explained"),
        order=91,
    ),
)
classes.register(
    "purchases",
    DataClass(
        label=_("Purchases and refunds as they were reported"),
        law=_("E-Commerce Law art. 31: three years at least"),
        old=lambda before: Fact.objects.filter(happened_at__lt=before),
        days=lambda: 3_650,
        by=_("Kept: points and tiers are counted from them"),
        order=92,
    ),
)
