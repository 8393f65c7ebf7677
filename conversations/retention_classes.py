"""How long what was answered by itself is kept: bounds of the product, every hour."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from conversations.models import ButtonTap, ButtonUse, DialogueRun, ReplyRecord, ReplyState, RunState
from conversations.services.records import KEEP
from conversations.services.retention import FINISHED_KEPT, TAPS_KEPT
from members.retention import DataClass, classes

classes.register(
    "answers",
    DataClass(
        label=_("Records of automatic answers"),
        law=_("PIPL art. 19; kept to find faults"),
        old=lambda before: ReplyRecord.objects.filter(at__lt=before).exclude(
            state__in=[ReplyState.WAITING, ReplyState.SENDING]
        ),
        days=lambda: KEEP.days,
        by=_("By itself, every hour"),
        order=12,
    ),
)
classes.register(
    "dialogues",
    DataClass(
        label=_("Answers that people gave to dialogues"),
        law=_("PIPL art. 19; what they told about themselves stands with the person"),
        old=lambda before: DialogueRun.objects.filter(state=RunState.DONE, updated_at__lt=before).exclude(answers={}),
        days=lambda: FINISHED_KEPT.days,
        by=_("By itself, every hour; unfinished ones after 30 days"),
        anonymous=True,
        order=13,
    ),
)
classes.register(
    "taps",
    DataClass(
        label=_("On which days buttons of the menu were tapped"),
        law=_("Names nobody"),
        old=lambda before: ButtonTap.objects.filter(day__lt=before.date()),
        days=lambda: TAPS_KEPT.days,
        by=_("By itself, every hour"),
        order=14,
    ),
)
classes.register(
    "button_uses",
    DataClass(
        label=_("How often somebody tapped which button of the menu"),
        law=_("PIPL art. 19; counts who uses a service, kept no longer than a page compares"),
        old=lambda before: ButtonUse.objects.filter(day__lt=before.date()),
        days=lambda: TAPS_KEPT.days,
        by=_("By itself, every hour"),
        order=15,
    ),
)
