"""How long conversations are kept: the brand chooses on a page of its own."""

from django.utils.translation import gettext_lazy as _

from inbox.models import Message
from inbox.selectors import inbox_policy
from members.retention import DataClass, classes

classes.register(
    "conversations",
    DataClass(
        label=_("Conversations with pictures"),
        law=_("PIPL art. 19; 30 to 1,095 days"),
        old=lambda before: Message.objects.filter(at__lt=before),
        days=lambda: int(inbox_policy().keep_days),
        by=_("Settings › Retention, every hour"),
        order=11,
    ),
)
