"""Work with WeChat in the background: profiles that are due, tags in step."""

from __future__ import annotations

import json

from django.core.cache import cache

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock

MOST_CHUNKS = 200


@global_task(name="members.tasks.refresh_due_profiles")
def refresh_due_profiles() -> None:
    """Find the brands with followers to ask WeChat about."""
    from members.models import Follower

    with every_brand(reason="profiles that are due"):
        brands = list(
            Follower.objects.filter(profile_due_at__lte=clock.now()).values_list("brand_id", flat=True).distinct(),
        )
    for brand_id in brands:
        ring(refresh_profiles, brand_id)


@brand_task(name="members.tasks.refresh_profiles")
def refresh_profiles(brand_id: int) -> None:
    """Ask WeChat about the followers of a brand whose profile is due."""
    from members.services import refresh_due

    refresh_due(brand_id, at=clock.now())


@global_task(name="members.tasks.sync_all_tags")
def sync_all_tags() -> None:
    """Find the accounts whose tags are kept in step, and the brands with tags to delete at WeChat."""
    from members import services
    from members.models import Tag
    from wechat_gateway.models import OfficialAccount

    services.sweep_leaving()
    with every_brand(reason="accounts with tags in step"):
        brands = set(Tag.objects.filter(sync=True).values_list("brand_id", flat=True).distinct())
        accounts = list(OfficialAccount.objects.filter(is_active=True).values_list("brand_id", "pk"))
    for brand_id, account_id in accounts:
        if brand_id in brands:
            ring(sync_account_tags, brand_id, account_id)


@brand_task(name="members.tasks.sync_account_tags")
def sync_account_tags(brand_id: int, account_id: int) -> None:
    """Settle the tags of one account. Two runs at once do no harm; the lock only saves calls."""
    from members.services import sync_tags

    lock = f"global:tags:{brand_id}:{account_id}"
    if not cache.add(lock, 1, timeout=110):
        return
    try:
        sync_tags(brand_id, account_id, at=clock.now())
    finally:
        cache.delete(lock)


@brand_task(name="members.tasks.read_tag_roll")
def read_tag_roll(brand_id: int, account_id: int) -> None:
    """Read WeChat's list of an account's tags."""
    from members import services

    services.read_roll(brand_id, account_id, at=clock.now())


@brand_task(name="members.tasks.delete_leaving_tags")
def delete_leaving_tags(brand_id: int) -> None:
    """Delete at WeChat what somebody asked to be deleted."""
    from members import services

    services.delete_leaving_tags(brand_id, at=clock.now())


@global_task(name="members.tasks.purge_sessions")
def purge_sessions() -> None:
    """Find the brands with mini-program sessions that are over."""
    from members.models import MiniProgramSession

    with every_brand(reason="sessions that are over"):
        over = MiniProgramSession.objects.filter(expires_at__lte=clock.now())
        brands = list(over.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(purge_brand_sessions, brand_id)


@brand_task(name="members.tasks.purge_brand_sessions")
def purge_brand_sessions(brand_id: int) -> None:
    """Delete the sessions of a brand that are over, WeChat's keys with them."""
    from members import services

    with brand_scope(brand_id):
        services.purge_sessions(at=clock.now())


@global_task(name="members.tasks.erase_due")
def erase_due() -> None:
    """Find the brands with people whose erasure is due (every ten minutes)."""
    from members.models import ErasureClock, ErasureState

    with every_brand(reason="erasures that are due"):
        due = ErasureClock.objects.filter(state=ErasureState.RUNNING, due_at__lte=clock.now())
        brands = list(due.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(erase_brand_due, brand_id)


@brand_task(name="members.tasks.erase_brand_due")
def erase_brand_due(brand_id: int) -> None:
    """Delete what is due in a brand; the rest waits for the next round."""
    from members import services

    services.erase_due(brand_id, at=clock.now())


@brand_task(name="members.tasks.make_copies")
def make_copies(brand_id: int) -> None:
    """Make the copies of personal data that people have asked for."""
    from members import services

    services.make_copies(brand_id, at=clock.now())


@global_task(name="members.tasks.keep_privacy")
def keep_privacy() -> None:
    """Ring every brand that has people: what is too old goes, copies nobody has begun are made (every hour)."""
    from accounts.models import Brand

    for brand_id in Brand.objects.filter(is_active=True).order_by("pk").values_list("pk", flat=True):
        ring(retain, brand_id)
        ring(make_copies, brand_id)


@brand_task(name="members.tasks.retain")
def retain(brand_id: int) -> None:
    """Let what a brand keeps no longer go, piece by piece, and words of profiles that are no longer fresh not count."""
    from members import services

    services.retain(brand_id, at=clock.now())
    with brand_scope(brand_id):
        services.drop_copies(at=clock.now())
    with brand_scope(brand_id):
        services.recount_profiles(at=clock.now())


@global_task(name="members.tasks.seal_audit_logs")
def seal_audit_logs() -> None:
    """Ring every brand whose audit log has grown, or is to be anchored or verified (every minute)."""
    from members import services

    for brand_id in services.brands_to_seal(at=clock.now()):
        ring(seal_audit_log, brand_id)


@brand_task(name="members.tasks.seal_audit_log")
def seal_audit_log(brand_id: int) -> None:
    """Seal what was written to the audit log of a brand, anchor it once an hour, verify all of it once a day."""
    from members import services

    services.watch_audit(brand_id, at=clock.now())


@global_task(name="members.tasks.sweep_tags")
def sweep_tags() -> None:
    """Find the brands where automatic tags have something to look at, or tags and list entries end."""
    from members.models import FactDue, MemberTag, Suppression, TagRule

    at = clock.now()
    with every_brand(reason="automatic tags that are due"):
        facts = set(FactDue.objects.order_by().values_list("brand_id", flat=True).distinct())
        rules = set(TagRule.objects.filter(run_due_at__lte=at).order_by().values_list("brand_id", flat=True).distinct())
        over = MemberTag.objects.filter(expires_at__lte=at)
        ends = set(over.order_by().values_list("brand_id", flat=True).distinct())
        listed = Suppression.objects.filter(until__lte=at)
        ends |= set(listed.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in sorted(facts):
        ring(apply_due_facts, brand_id)
    for brand_id in sorted(rules):
        ring(run_tag_rules, brand_id)
    for brand_id in sorted(ends):
        ring(expire_tags, brand_id)


@brand_task(name="members.tasks.apply_due_facts")
def apply_due_facts(brand_id: int) -> None:
    """Look again at people whose facts changed."""
    from members import services

    while services.apply_due_facts(brand_id, at=clock.now()):
        pass


@brand_task(name="members.tasks.run_tag_rules")
def run_tag_rules(brand_id: int) -> None:
    """Bring rules that are due over everybody, a chunk a transaction; what is left the next round does."""
    from members import services

    for _chunk in range(MOST_CHUNKS):
        if not services.run_rules(brand_id, at=clock.now()):
            return


@brand_task(name="members.tasks.expire_tags")
def expire_tags(brand_id: int) -> None:
    """Take off the tags of a brand that have come to their end, and entries of the do-not-send list."""
    from members import services

    with brand_scope(brand_id):
        services.expire_tags(at=clock.now())
    with brand_scope(brand_id):
        services.end_suppressions(at=clock.now())


@global_task(name="members.tasks.snapshot_groupings")
def snapshot_groupings() -> None:
    """Find the brands with groupings that are kept month by month, or followed day by day (every hour)."""
    from members.models import Grouping

    with every_brand(reason="groupings of the month"):
        kept = Grouping.objects.filter(is_monthly=True) | Grouping.objects.exclude(recipe="")
        brands = list(kept.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(snapshot_brand, brand_id)


@brand_task(name="members.tasks.snapshot_brand")
def snapshot_brand(brand_id: int) -> None:
    """Take this month's snapshots of a brand and this day's moves, unless they are there."""
    from members import services

    services.take_monthly(brand_id, at=clock.now())
    services.track_due(brand_id, at=clock.now())


@global_task(name="members.tasks.recount_all_segments")
def recount_all_segments() -> None:
    """Find the brands with segments whose figure is old (every five minutes)."""
    from members.models import Segment

    with every_brand(reason="segments with old figures"):
        brands = list(Segment.objects.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(recount_segments, brand_id)


@brand_task(name="members.tasks.recount_segments")
def recount_segments(brand_id: int) -> None:
    """Count a brand's segments again where the figure is older than an hour."""
    from members import services

    services.recount_segments(brand_id, at=clock.now())


@global_task(name="members.tasks.sweep_segments")
def sweep_segments() -> None:
    """Find the brands with segments whose people are kept (every minute)."""
    from members.models import Freshness, Segment

    with every_brand(reason="segments whose people are kept"):
        kept = Segment.objects.exclude(freshness=Freshness.LIVE)
        brands = list(kept.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(refresh_segments, brand_id)


@brand_task(name="members.tasks.count_figure")
def count_figure(brand_id: int, key: str, params: str) -> None:
    """Count a figure over everybody anew, for the pages that show it."""
    from members.figures import count_anew, figures

    if figures.find(key) is None:  # asked for by another version of the product
        return
    with brand_scope(brand_id):
        count_anew(key, json.loads(params), at=clock.now())


@brand_task(name="members.tasks.refresh_segments")
def refresh_segments(brand_id: int) -> None:
    """Bring the kept segments of a brand that are due up to date."""
    from members import services

    services.refresh_segments(brand_id, at=clock.now())


@brand_task(name="members.tasks.send_sms")
def send_sms(brand_id: int, code_id: int) -> None:
    """Send one code by text message; somebody is waiting for it."""
    from members import services

    services.send_code(brand_id, code_id, at=clock.now())


@global_task(name="members.tasks.sweep_sms")
def sweep_sms() -> None:
    """Find the codes for which nobody was rung."""
    from members.models import SmsCode, SmsState

    with every_brand(reason="codes by text message that wait"):
        waiting = SmsCode.objects.filter(state=SmsState.WAITING)
        brands = list(waiting.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(send_waiting_sms, brand_id)


@brand_task(name="members.tasks.send_waiting_sms")
def send_waiting_sms(brand_id: int) -> None:
    """Send the codes of a brand for which nobody was rung."""
    from members import services

    at = clock.now()
    with brand_scope(brand_id):
        waiting = services.waiting_codes(at=at)
    for code_id in waiting:
        services.send_code(brand_id, code_id, at=clock.now())
