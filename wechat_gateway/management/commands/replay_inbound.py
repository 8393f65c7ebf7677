"""Handle failed or quarantined pushes of a brand again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common import clock
from common.errors import AppError
from wechat_gateway import selectors, services


class Command(BaseCommand):
    """`manage.py replay_inbound --brand SLUG [--push ID …] [--limit N]`."""

    help = "Handles failed or quarantined pushes of one brand again: the ones named, or all of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--brand", required=True, help="address of the brand")
        parser.add_argument("--push", type=int, action="append", default=[], help="number of a push; may be repeated")
        parser.add_argument("--limit", type=int, default=1000, help="at most so many (default 1000)")

    def handle(self, *args: Any, **options: Any) -> None:
        brand = Brand.objects.filter(slug=options["brand"]).first()
        if brand is None:
            raise CommandError(f"there is no brand {options['brand']!r}")
        with brand_scope(brand.pk):
            chosen = options["push"] or list(
                selectors.pushes_for_people().values_list("pk", flat=True)[: options["limit"]],
            )
        replayed = 0
        for push_id in chosen:
            try:
                with brand_scope(brand.pk):
                    services.replay_push(push_id=push_id, at=clock.now(), reason="replay_inbound")
            except AppError as error:
                self.stderr.write(f"{push_id}: {error.message}")
            else:
                replayed += 1
        self.stdout.write(f"{replayed} of {len(chosen)} pushes are handled again")
