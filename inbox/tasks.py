"""Wake-up calls of the inbox: PostgreSQL says what is due, a lost, doubled or late call does no harm."""

from __future__ import annotations

from accounts.selectors import active_brand_ids
from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock


@brand_task(name="inbox.tasks.deliver_message")
def deliver_message(brand_id: int, message_id: int) -> None:
    """Send one message that a person wrote."""
    from inbox import services

    services.deliver(brand_id=brand_id, message_id=message_id, at=clock.now())


@brand_task(name="inbox.tasks.fetch_attachment")
def fetch_attachment(brand_id: int, attachment_id: int) -> None:
    """Fetch a picture that a person sent."""
    from inbox import services

    services.fetch_attachment(brand_id=brand_id, attachment_id=attachment_id, at=clock.now())


@brand_task(name="inbox.tasks.tend")
def tend(brand_id: int) -> None:
    """Do what is due in a brand's inbox, in one short scope per kind of work."""
    from inbox import services

    at = clock.now()
    for work in (services.wake_due, services.return_due, services.fill_all, services.sweep_messages):
        with brand_scope(brand_id):
            work(at=at)
    with brand_scope(brand_id):
        due = services.due_attachments(at=at)
    for attachment_id in due:
        ring(fetch_attachment, brand_id, attachment_id)


@global_task(name="inbox.tasks.sweep_inbox")
def sweep_inbox() -> None:
    """Find the brands in whose inbox something is due, and ring for them."""
    from inbox import selectors

    with every_brand(reason="find inboxes with work to do"):
        due = selectors.brands_with_work(at=clock.now())
    for brand_id in due:
        ring(tend, brand_id)


@brand_task(name="inbox.tasks.forget_old")
def forget_old(brand_id: int) -> None:
    """Delete a brand's conversations that are older than it keeps them."""
    from inbox import services

    services.forget_old(brand_id=brand_id, at=clock.now())


@global_task(name="inbox.tasks.forget_all_old")
def forget_all_old() -> None:
    """Ring for every brand to delete old conversations."""
    for brand_id in active_brand_ids():
        ring(forget_old, brand_id)


@brand_task(name="inbox.tasks.resolve_answered")
def resolve_answered(brand_id: int) -> None:
    """Resolve a brand's answered conversations in which nobody wrote for days."""
    from inbox import services

    services.resolve_answered(brand_id=brand_id, at=clock.now())


@global_task(name="inbox.tasks.resolve_all_answered")
def resolve_all_answered() -> None:
    """Ring for every brand to resolve what was answered and is quiet."""
    for brand_id in active_brand_ids():
        ring(resolve_answered, brand_id)
