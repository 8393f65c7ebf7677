"""Wake-up calls of the library: PostgreSQL says what is due, a lost, doubled or late call does no harm."""

from __future__ import annotations

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock


@brand_task(name="library.tasks.settle_copy")
def settle_copy(brand_id: int, copy_id: int) -> None:
    """Upload a file that is to be kept for good, or take one away."""
    from library import services

    services.settle_copy(brand_id=brand_id, copy_id=copy_id, at=clock.now())


@brand_task(name="library.tasks.settle_copies")
def settle_copies(brand_id: int) -> None:
    """Ring again for what of a brand waits."""
    from library import selectors

    with brand_scope(brand_id):
        due = selectors.due_copies(at=clock.now())
    for copy_id in due:
        ring(settle_copy, brand_id, copy_id)


@brand_task(name="library.tasks.count_media")
def count_media(brand_id: int, account_id: int) -> None:
    """Ask WeChat how many permanent files an account has."""
    from library import services

    services.count_media(brand_id=brand_id, account_id=account_id, at=clock.now())


@brand_task(name="library.tasks.compare_media")
def compare_media(brand_id: int, account_id: int) -> None:
    """Look through WeChat's own list for permanent files that are gone."""
    from library import services

    services.compare_media(brand_id=brand_id, account_id=account_id, at=clock.now())


@global_task(name="library.tasks.compare_libraries")
def compare_libraries() -> None:
    """Ring for every account that keeps files for good, to be compared with WeChat's own list."""
    from library import selectors

    with every_brand(reason="find files that were deleted at WeChat"):
        found = selectors.accounts_with_files()
    for brand_id, account_id in found:
        ring(compare_media, brand_id, account_id)


@global_task(name="library.tasks.sweep_library")
def sweep_library() -> None:
    """Find the brands with copies that wait, and ring for them."""
    from library import selectors

    with every_brand(reason="find copies of files that wait"):
        due = selectors.brands_with_due_copies(at=clock.now())
    for brand_id in due:
        ring(settle_copies, brand_id)
