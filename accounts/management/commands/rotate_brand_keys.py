"""`manage.py rotate_brand_keys`: another data key for a brand, and every sealed value under it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.key_rotation import KeyTurn, begin_another_key, look_at_keys, rotate_brand_key
from accounts.models import Brand
from common import clock


class Command(BaseCommand):
    """`manage.py rotate_brand_keys (--brand SLUG | --every-brand) [--new | --dry-run]`."""

    help = (
        "Seals what brands keep under another data key, while everybody goes on; safe to stop and to repeat. "
        "Without --new it goes on with what was begun."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which brands, and whether to begin with another key or only to look."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--brand", help="address of the brand")
        which.add_argument("--every-brand", action="store_true", help="one brand after the other")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--new", action="store_true", help="begin with another key, unless one is under way")
        how.add_argument("--dry-run", action="store_true", help="only count what is under which key")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was done for each brand; an error says that values are left under an earlier key."""
        brands = Brand.objects.order_by("pk")
        if options["brand"]:
            brands = brands.filter(slug=options["brand"])
            if not brands:
                message = f"There is no brand at {options['brand']}."
                raise CommandError(message)
        if options["new"]:  # all of them at once: whoever is stopped later goes on without --new
            for brand in brands:
                begin_another_key(brand, at=clock.now())
        unsettled = []
        for brand in brands:
            if options["dry_run"]:
                turn = look_at_keys(brand)
            else:
                turn = rotate_brand_key(brand, at=clock.now(), tell=lambda line: self.stdout.write(f"  {line}"))
                if turn.left:
                    unsettled.append(brand.slug)
            self._say(turn)
        if unsettled:
            message = f"values are left under an earlier key: {', '.join(unsettled)}"
            raise CommandError(message)

    def _say(self, turn: KeyTurn) -> None:
        slug = turn.brand.slug
        for number, count in sorted(turn.held.items()):
            self.stdout.write(f"{slug}: {count} values " + (f"under key {number}" if number >= 0 else "name no key"))
        for place in turn.lost[:20]:
            self.stdout.write(f"{slug}: no key opens {place}")
        if turn.settled_at is not None and not turn.left:
            since = turn.settled_at.isoformat(timespec="seconds")
            self.stdout.write(f"{slug}: everything is under key {turn.number} since {since}")
        elif turn.number == 0:
            self.stdout.write(f"{slug}: has its first key only; --new makes another")
        else:
            self.stdout.write(f"{slug}: {turn.left} values are left under an earlier key")
