"""Hold the coupons against their moves, budgets, codes and points, and name what does not agree."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Brand
from accounts.tenancy import brand_scope
from coupons.invariants import INVARIANTS, breaches


class Command(BaseCommand):
    """`manage.py reconcile_coupons --brand SLUG`; ends with an error when something does not agree."""

    help = "Reads the coupons of a brand and names everything that does not add up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the brand."""
        parser.add_argument("--brand", required=True, help="address of the brand")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each finding on a line of its own."""
        brand = Brand.objects.filter(slug=options["brand"]).first()
        if brand is None:
            message = f"there is no brand {options['brand']!r}"
            raise CommandError(message)
        with brand_scope(brand.pk):
            found = breaches()
        for breach in found:
            self.stdout.write(f"{breach.name}: row {breach.row_id}: {breach.what}")
        if found:
            message = f"{len(found)} findings in the coupons of {brand.name}"
            raise CommandError(message)
        self.stdout.write(f"{len(INVARIANTS)} invariants hold for the coupons of {brand.name}")
