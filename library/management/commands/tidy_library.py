"""Drop ids of copies that WeChat forgot long ago, and name the files nobody has used."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common import clock
from library import services


class Command(BaseCommand):
    """`manage.py tidy_library --brand SLUG [--unused-days N] [--dry-run]`."""

    help = "Drops ids of expired three-day copies of a brand and lists files nobody has used; these are never deleted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the brand, how long a file may lie unused, and whether to look only."""
        parser.add_argument("--brand", required=True, help="address of the brand")
        parser.add_argument("--unused-days", type=int, default=180, help="name files unused for so long (default 180)")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each file nobody has used, and what went."""
        brand = Brand.objects.filter(slug=options["brand"]).first()
        if brand is None:
            message = f"there is no brand {options['brand']!r}"
            raise CommandError(message)
        if not 1 <= options["unused_days"] <= 3650:
            message = "--unused-days is 1 to 3650"
            raise CommandError(message)
        with brand_scope(brand.pk):
            done = services.tidy_library(
                at=clock.now(), unused_after=timedelta(days=options["unused_days"]), dry_run=options["dry_run"]
            )
        for item in done.unused:
            about = f"{item.size} bytes, {item.created_at:%Y-%m-%d}"
            self.stdout.write(f"unused: {item.pk} {item.kind} {item.name} ({about})")
        said = "would go" if options["dry_run"] else "are gone"
        self.stdout.write(f"{done.expired} ids of expired copies {said}; {len(done.unused)} unused files stay")
