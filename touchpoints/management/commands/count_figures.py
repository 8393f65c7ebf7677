"""Bring the figures of a brand's channels up to date, or make all of them again from the touches."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Brand
from common import clock
from touchpoints import services

AT_ONCE = 20_000  # people in one transaction: nobody waits for this one


class Command(BaseCommand):
    """`manage.py count_figures --brand SLUG [--rebuild]`."""

    help = "Counts what changed for the reports of channels; with --rebuild everything, from the touches."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the brand, and whether to begin anew."""
        parser.add_argument("--brand", required=True, help="address of the brand")
        parser.add_argument("--rebuild", action="store_true", help="throw the sums away and make them again")

    def handle(self, *args: Any, **options: Any) -> None:
        """Count until nobody waits. Reports can be read meanwhile."""
        brand = Brand.objects.filter(slug=options["brand"]).first()
        if brand is None:
            message = f"there is no brand {options['brand']!r}"
            raise CommandError(message)
        count = services.rebuild_sums if options["rebuild"] else services.count_all
        people = count(brand.pk, clock=clock.now, zone=ZoneInfo(brand.timezone), limit=AT_ONCE)
        self.stdout.write(f"{people} people were counted for the reports of {brand.name}")
