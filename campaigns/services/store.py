"""Every touch of the database by the engine, each method one statement; the simulation puts its own memory here."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from campaigns import reasons
from campaigns.models import Campaign, CampaignState, Delivery, DeliveryState, FinishEvent, Lane, TestSend
from campaigns.services import consents, statements
from inbox import services as inbox_services
from members import services as member_services
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from campaigns.models import MessageTemplate
    from inbox.services import Fate

_RESULTS_LOCK = 772_001  # first half of our advisory lock


class Store:
    """The engine's PostgreSQL. What a method gives is judged by the engine; nothing is decided here."""

    # -- transactions -------------------------------------------------------------------------------------------------

    def scope(self, brand_id: int) -> AbstractContextManager[int]:
        """Open a transaction in which the brand's rows exist."""
        return brand_scope(brand_id)

    def atomic(self) -> AbstractContextManager[None]:
        """Open a transaction, or a savepoint within one."""
        return transaction.atomic()

    # -- campaigns ----------------------------------------------------------------------------------------------------

    def campaign(self, campaign_id: int) -> Campaign:
        """Read a campaign with what its messages are made of."""
        return Campaign.objects.select_related("account", "template").get(pk=campaign_id)

    def lock_campaign(self, campaign_id: int) -> Campaign:
        """Read a campaign and keep others from changing it."""
        return Campaign.objects.select_for_update(of=("self",)).get(pk=campaign_id)

    def save_campaign(self, row: Campaign, fields: Sequence[str]) -> None:
        """Write some fields of a campaign."""
        row.save(update_fields=fields)

    def audit(self, action: str, row: Campaign, changes: dict[str, Any]) -> None:
        """Note who did what."""
        record_audit(action=action, obj=row, changes=changes)

    def park(self, campaign_id: int, code: str, until: datetime) -> bool:
        """Let a campaign wait that is sending or waiting."""
        states = [CampaignState.SENDING, CampaignState.PARKED]
        return bool(
            Campaign.objects.filter(pk=campaign_id, state__in=states).update(
                state=CampaignState.PARKED, parked_code=code, parked_until=until
            )
        )

    def take_probe(self, campaign_id: int, at: datetime, until: datetime) -> bool:
        """Move the moment of the next probe on; gives whether this one is ours.

        While the account is disconnected nobody tries; once it is connected again, somebody does at once.
        """
        parked = Campaign.objects.filter(pk=campaign_id, state=CampaignState.PARKED)
        if parked.exclude(parked_code=reasons.DISCONNECTED).filter(parked_until__lte=at).update(parked_until=until):
            return True
        again = parked.filter(parked_code=reasons.DISCONNECTED, account__is_active=True)
        return bool(again.update(parked_code=reasons.ACCOUNT, parked_until=until))

    def parked_of(self, appid: str) -> list[tuple[int, str]]:
        """(campaign, why) of an account's waiting campaigns."""
        rows = Campaign.objects.filter(state=CampaignState.PARKED, account__appid=appid)
        return list(rows.order_by("pk").values_list("pk", "parked_code"))

    def let_try(self, campaign_ids: Sequence[int], at: datetime) -> None:
        """Bring the next probe of waiting campaigns forward."""
        Campaign.objects.filter(pk__in=campaign_ids, state=CampaignState.PARKED).update(parked_until=at)

    def unpark(self, campaign_id: int) -> bool:
        """Let a waiting campaign send again."""
        return bool(
            Campaign.objects.filter(pk=campaign_id, state=CampaignState.PARKED).update(
                state=CampaignState.SENDING, parked_code="", parked_until=None
            )
        )

    def finish(self, campaign_id: int, at: datetime) -> bool:
        """Close a sending campaign in which nothing is due any more, now or later."""
        open_rows = Delivery.objects.filter(campaign_id=campaign_id, due_at__isnull=False)
        campaign = Campaign.objects.filter(pk=campaign_id, state=CampaignState.SENDING)
        if open_rows.exists() or not campaign.exists():
            return False
        return bool(
            campaign.exclude(pk__in=open_rows.values("campaign_id")).update(
                state=CampaignState.FINISHED, finished_at=at
            )
        )

    def account_parked_until(self, account_id: int) -> datetime | None:
        """Until when the gateway has parked a whole account."""
        return OfficialAccount.objects.filter(pk=account_id).values_list("parked_until", flat=True).first()

    # -- lanes and pace -----------------------------------------------------------------------------------------------

    def lane_holder(self, campaign_id: int, lane: int) -> str:
        """Who has taken a lane last, '' for nobody."""
        found = Lane.objects.filter(campaign_id=campaign_id, number=lane).values_list("taken_by", flat=True)
        return found.first() or ""

    def take_lane(self, seconds: float, worker: str, brand_id: int, campaign_id: int, lane: int, gone: str) -> bool:
        """Take a lane that is free, called for, or held by `gone`."""
        return self._changes(statements.TAKE_LANE, [seconds, worker, brand_id, campaign_id, lane, gone]) > 0

    def keep_lane(self, seconds: float, brand_id: int, campaign_id: int, lane: int, worker: str) -> None:
        """Keep a lane that is ours for so many seconds more."""
        self._changes(statements.KEEP_LANE, [seconds, brand_id, campaign_id, lane, worker])

    def queue_lane(self, seconds: float, brand_id: int, campaign_id: int, lane: int, worker: str) -> None:
        """Leave a lane that is ours to the wake-up call that goes out now."""
        self._changes(statements.QUEUE_LANE, [seconds, brand_id, campaign_id, lane, worker])

    def queue_lanes(self, seconds: float, brand_id: int, campaign_id: int) -> list[int]:
        """Note a wake-up call for every free lane; gives their numbers."""
        return sorted(row[0] for row in self._rows(statements.QUEUE_LANES, [seconds, brand_id, campaign_id]))

    def take_tokens(self, params: Mapping[str, Any]) -> int:
        """Take from the campaign's token bucket."""
        rows = self._rows(statements.TAKE_TOKENS, params)
        return int(rows[0][0]) if rows else 0

    # -- messages -----------------------------------------------------------------------------------------------------

    def claim(self, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Lease what is due (`statements.CLAIM`)."""
        with connection.cursor() as cursor:
            # PostgreSQL may take the campaign for small: sorting all of it for every batch would seem as cheap as
            # following the index of what is due.
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(statements.CLAIM, params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            cursor.execute("SET LOCAL enable_sort = on")
            return rows

    def record(self, params: Mapping[str, Any]) -> set[tuple[int, int]]:
        """Write answers (`statements.RECORD`); gives (id, attempt) of those that were still ours."""
        return {(row[0], row[1]) for row in self._rows(statements.RECORD, params)}

    def note_attempts(self, params: Sequence[Any]) -> None:
        """Add to the history of messages (`statements.NOTE_ATTEMPTS`)."""
        self._changes(statements.NOTE_ATTEMPTS, params)

    def add_tallies(self, params: Sequence[Any]) -> None:
        """Add differences to the counters (`statements.ADD_TALLIES`)."""
        self._changes(statements.ADD_TALLIES, params)

    def reserve_replies(self, follower_ids: Collection[int], at: datetime) -> dict[int, int]:
        """Take one message each from what followers' own acts allow: {follower: 1 or 0}, without who is busy."""
        return inbox_services.reserve_sends(wanted=dict.fromkeys(follower_ids, 1), at=at, wait=False)

    def settle_replies(
        self, unsent: Collection[tuple[int, datetime]], refused: Collection[tuple[int, int]], at: datetime
    ) -> None:
        """Give back what was taken and not sent, and believe WeChat's refusals."""
        inbox_services.settle_sends(unsent=unsent, refused=refused, at=at)

    def take_consents(self, follower_ids: Collection[int], template: MessageTemplate, at: datetime) -> set[int]:
        """Take one notification each from what followers agreed to; gives those who had one."""
        return consents.take_consents(follower_ids=follower_ids, template=template, at=at)

    def settle_consents(
        self, unsent: Collection[int], refused: Collection[int], template: MessageTemplate, at: datetime
    ) -> None:
        """Give back what was taken and not sent, and believe WeChat's refusals."""
        consents.settle_consents(unsent=unsent, refused=refused, template=template, at=at)

    def mark_unfollowed(self, account_id: int, openids: Sequence[str], at: datetime) -> None:
        """Note that people do not follow any more."""
        member_services.mark_unfollowed(account_id=account_id, openids=openids, at=at)

    def close(self, brand_id: int, campaign_id: int, most: int, at: datetime) -> list[tuple[Any, ...]]:
        """Leave out those who wait in a stopped campaign (`statements.CLOSE`)."""
        return self._rows(statements.CLOSE, [brand_id, campaign_id, most, at])

    def has_open(self, campaign_id: int) -> bool:
        """Whether anything of a campaign is due, now or later."""
        return Delivery.objects.filter(campaign_id=campaign_id, due_at__isnull=False).exists()

    def lock_failed(self, campaign_id: int, codes: Collection[str]) -> list[tuple[int, str]]:
        """Ids and reasons of the messages that failed."""
        failed = Delivery.objects.filter(campaign_id=campaign_id, state=DeliveryState.FAILED).exclude(reason="")
        if codes:
            failed = failed.filter(reason__in=list(codes))
        return list(failed.select_for_update().order_by("pk").values_list("pk", "reason"))

    def begin_again(self, ids: Sequence[int]) -> None:
        """Let messages wait again, under a new client_msg_id."""
        Delivery.objects.filter(pk__in=ids).update(
            state=DeliveryState.PENDING,
            reason="",
            round=F("round") + 1,
            due_at=Now(),
            tried_at=None,
            msgid=None,
            sent_at=None,
            final_at=None,
        )

    # -- results ------------------------------------------------------------------------------------------------------

    def keep_result(self, params: Sequence[Any]) -> None:
        """Keep a reported result unless it is there (`statements.KEEP_RESULT`)."""
        self._changes(statements.KEEP_RESULT, params)

    def lock_results(self, brand_id: int) -> bool:
        """Be the only one to match results of a brand until the transaction ends; False when somebody else is."""
        return bool(self._rows("SELECT pg_try_advisory_xact_lock(%s, %s)", [_RESULTS_LOCK, brand_id])[0][0])

    def due_results(self, most: int) -> list[FinishEvent]:
        """The results that wait longest."""
        return list(FinishEvent.objects.filter(due_at__lte=Now()).order_by("due_at", "id")[:most])

    def match(self, statement: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Match results with messages in one of the ways of `statements`."""
        return self._rows(statement, params)

    def tests_of(self, msgids: Sequence[int]) -> list[TestSend]:
        """The test messages with these ids."""
        return list(TestSend.objects.filter(msgid__in=msgids))

    def settle_lines(self, fates: Iterable[Fate], at: datetime) -> set[tuple[int, int]]:
        """Settle lines of conversations; gives (account, msgid) of those there are."""
        return inbox_services.settle_reported(fates, at=at)

    def save_test(self, row: TestSend) -> None:
        """Write the result of a test message."""
        row.save(update_fields=["status", "settled_at"])

    def give_up_results(self, ids: Sequence[int], hours: float) -> int:
        """Delete those of some results that came longer ago; gives how many."""
        old = FinishEvent.objects.filter(pk__in=ids, created_at__lt=Now() - _hours(hours))
        return old.delete()[0]

    def postpone_results(self, ids: Sequence[int]) -> None:
        """Try results later: soon, then less soon, then once an hour."""
        FinishEvent.objects.filter(pk__in=ids).update(
            tries=F("tries") + 1,
            due_at=Now()
            + Case(When(tries=0, then=_hours(3 / 3600)), When(tries__lt=5, then=_hours(20 / 3600)), default=_hours(1)),
        )

    def delete_results(self, ids: Iterable[int]) -> None:
        """Forget results that were matched."""
        FinishEvent.objects.filter(pk__in=list(ids)).delete()

    # -- round trips --------------------------------------------------------------------------------------------------

    def _rows(self, statement: str, params: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _changes(self, statement: str, params: Sequence[Any] | Mapping[str, Any]) -> int:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return int(cursor.rowcount)


def _hours(hours: float) -> Value:
    return Value(timedelta(hours=hours))


store = Store()
