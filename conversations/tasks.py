"""Wake-up calls: messages that follow a passive reply, weekly suggestions, clearing away."""

from __future__ import annotations

from typing import Final

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock

_MOST_ROUNDS: Final = 200


@brand_task(name="conversations.tasks.send_replies")
def send_replies(brand_id: int) -> None:
    """Send the customer-service messages that wait."""
    from conversations import services

    services.send_replies(brand_id, at=clock.now())


@global_task(name="conversations.tasks.sweep_replies")
def sweep_replies() -> None:
    """Ring for every brand with messages to send (every 5 s)."""
    from conversations import services

    services.sweep_replies(at=clock.now())


@global_task(name="conversations.tasks.tidy_replies")
def tidy_replies() -> None:
    """Ring for every brand to suggest rules and to drop what is old (every hour)."""
    from wechat_gateway.models import OfficialAccount

    with every_brand(reason="brands whose unmatched messages are looked at"):
        brands = list(OfficialAccount.objects.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(tidy_brand_replies, brand_id)


@brand_task(name="conversations.tasks.tidy_brand_replies")
def tidy_brand_replies(brand_id: int) -> None:
    """Drop what is old, suggest rules from the weeks that are over."""
    from conversations import services

    with brand_scope(brand_id):
        services.purge_records(at=clock.now())
    with brand_scope(brand_id):
        services.forget_old_answers(at=clock.now())
    for _round in range(_MOST_ROUNDS):  # a tap of each person a day: more than one round of a large brand
        with brand_scope(brand_id):
            if not services.purge_taps(at=clock.now()):
                break
    with brand_scope(brand_id):
        services.purge_known_due()
    with brand_scope(brand_id):  # last: it goes through everything that was written in a week
        services.suggest_rules(at=clock.now())


@global_task(name="conversations.tasks.sweep_menus")
def sweep_menus() -> None:
    """Ring for every brand with a menu to publish by now (every 5 s)."""
    from conversations import services

    services.sweep_menus(at=clock.now())


@brand_task(name="conversations.tasks.publish_menus")
def publish_menus(brand_id: int) -> None:
    """Publish the menus that wait."""
    from conversations import services

    services.publish_due_menus(brand_id, at=clock.now())


@brand_task(name="conversations.tasks.compare_menu")
def compare_menu(brand_id: int, account_id: int) -> None:
    """Compare what was published with what WeChat has now."""
    from conversations import services

    services.compare_menu(brand_id, account_id, at=clock.now())


@global_task(name="conversations.tasks.settle_all_menus")
def settle_all_menus() -> None:
    """Find the accounts with personalised menus (every minute, after tags were kept in step)."""
    from conversations.models import Menu

    with every_brand(reason="accounts with personalised menus"):
        found = list(Menu.objects.exclude(remote=[]).order_by("pk").values_list("brand_id", "account_id"))
    for brand_id, account_id in found:
        ring(settle_menus, brand_id, account_id)


@brand_task(name="conversations.tasks.settle_menus")
def settle_menus(brand_id: int, account_id: int) -> None:
    """Have WeChat show everybody the personalised menu they are meant to see."""
    from conversations import services

    services.settle_menus(brand_id, account_id, at=clock.now())
