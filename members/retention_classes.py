"""Classes of data of people and of the apps below: how long each is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEntry
from accounts.services import trim_audit
from members.models import AccessEntry, Consent, FactChange, ListAccess, MiniProgramSession, RequestFile, RetentionRun
from members.retention import PIECE, DataClass, classes, piece
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.services import drop_unsettled

if TYPE_CHECKING:
    from datetime import datetime


def _trim_access(before: datetime) -> int:
    """Let a piece of the access log go; the database keeps what is younger than 180 days, whoever asks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT zhiyin_trim_access(%s, %s)", [before, PIECE])
        return int(cursor.fetchone()[0])


def _trim_lists(before: datetime) -> int:
    """The same for lists that were shown."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT zhiyin_trim_lists(%s, %s)", [before, PIECE])
        return int(cursor.fetchone()[0])


classes.register(
    "pushes",
    DataClass(
        label=_("Messages and events as WeChat pushed them"),
        law=_("PIPL art. 19: the shortest time the purpose needs; kept to find faults"),
        old=lambda before: InboundPush.objects.filter(state=PushState.HANDLED, event_at__lt=before),
        days=lambda: int(settings.KEEP_PUSHES_DAYS),
        by=_("The installation (ZHIYIN_KEEP_PUSHES_DAYS), every hour; those set aside go with them"),
        order=10,
    ),
)
classes.register(
    "unsettled_pushes",
    DataClass(
        label=_("Pushes that failed or could not be read"),
        law=_("PIPL art. 19; they wait for a person, and hold what people wrote"),
        old=lambda before: InboundPush.objects.filter(
            state__in=[PushState.FAILED, PushState.QUARANTINED], received_at__lt=before
        ),
        proposed=30,
        least=7,
        most=730,
        drop=lambda before: drop_unsettled(before=before, most=PIECE),
        order=10,
    ),
)
classes.register(
    "sessions",
    DataClass(
        label=_("Sign-ins of mini-programs"),
        law=_("PIPL art. 19: gone when the sign-in is over"),
        old=lambda before: MiniProgramSession.objects.filter(expires_at__lt=before),
        days=lambda: 0,
        by=_("By itself, ten minutes after the end"),
        order=20,
    ),
)
classes.register(
    "fact_changes",
    DataClass(
        label=_("What tags and following were in the past"),
        law=_("PIPL art. 19; needed to answer why somebody was in a segment"),
        old=lambda before: FactChange.objects.filter(at__lt=before),
        proposed=1_095,
        least=90,
        most=1_825,
        drop=lambda before: piece(FactChange.objects.filter(at__lt=before)),
        order=50,
    ),
)
classes.register(
    "copies",
    DataClass(
        label=_("Copies of personal data that nobody fetched"),
        law=_("PIPL art. 45; kept seven days to be fetched once"),
        old=lambda before: RequestFile.objects.filter(made_at__lt=before).exclude(content=None),
        days=lambda: 7,
        by=_("By itself, every hour"),
        order=60,
    ),
)
classes.register(
    "audit",
    DataClass(
        label=_("Audit log"),
        law=_("Cybersecurity Law art. 21: six months at least; PIPL art. 69 asks for proof"),
        old=lambda before: AuditEntry.objects.filter(at__lt=before),
        proposed=1_095,
        least=180,
        most=3_650,
        drop=lambda before: trim_audit(before=before, most=PIECE),
        order=80,
    ),
)
classes.register(
    "access",
    DataClass(
        label=_("Access log"),
        law=_("PIPL art. 51, 55 and 56: who saw whose data is kept for three years"),
        old=lambda before: AccessEntry.objects.filter(at__lt=before),
        proposed=1_095,
        least=180,
        most=3_650,
        drop=_trim_access,
        order=81,
    ),
)
classes.register(
    "access_lists",
    DataClass(
        label=_("Access log of lists, searches, files and the API"),
        law=_("PIPL art. 51, 55 and 56: who saw whose data is kept for three years"),
        old=lambda before: ListAccess.objects.filter(at__lt=before),
        proposed=1_095,
        least=180,
        most=3_650,
        drop=_trim_lists,
        order=82,
    ),
)
classes.register(
    "consents",
    DataClass(
        label=_("Consent ledger"),
        law=_("PIPL art. 14 and 69: the brand must prove consent; without a name once the person is deleted"),
        old=lambda before: Consent.objects.filter(at__lt=before),
        days=lambda: 3_650,
        by=_("Kept; deleting a person takes the name off"),
        order=90,
    ),
)
classes.register(
    "runs",
    DataClass(
        label=_("Reports of this schedule"),
        law=_("Names nobody"),
        old=lambda before: RetentionRun.objects.filter(at__lt=before),
        proposed=1_095,
        least=180,
        most=3_650,
        drop=lambda before: piece(RetentionRun.objects.filter(at__lt=before)),
        order=99,
    ),
)
