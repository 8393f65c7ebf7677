"""Delete handled authorisation events of the third-party platform that are old."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common import clock
from wechat_gateway import services

MOST_DAYS = 3650


class Command(BaseCommand):
    """`manage.py purge_platform_events [--days N] [--dry-run]`; it also happens by itself every hour."""

    help = "Deletes handled authorisation events of the platform older than ZHIYIN_KEEP_PUSHES_DAYS; the others stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how old they are, and whether to look only."""
        parser.add_argument("--days", type=int, default=settings.KEEP_PUSHES_DAYS, help="older than so many days")
        parser.add_argument("--dry-run", action="store_true", help="only say how many would go")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say how many went."""
        days, dry_run = options["days"], options["dry_run"]
        if not 1 <= days <= MOST_DAYS:
            message = f"--days is 1 to {MOST_DAYS}"
            raise CommandError(message)
        count = services.purge_platform_pushes(at=clock.now(), days=days, dry_run=dry_run)
        said = "would go" if dry_run else "are gone"
        self.stdout.write(f"{count} handled events older than {days} days {said}")
