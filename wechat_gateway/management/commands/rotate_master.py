"""Wrap everything with the newest master key, so that the old one can be taken away."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.sealing import current_master
from common import clock
from wechat_gateway.services import rotate_master


class Command(BaseCommand):
    """`manage.py rotate_master [--dry-run]`, once the new key stands in front of ZHIYIN_MASTER_KEYS everywhere."""

    help = (
        "Wraps the brands' keys and the installation's secrets with the first master key; safe to stop and to repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whether to look only."""
        parser.add_argument("--dry-run", action="store_true", help="only say what is wrapped with which key")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print how much is wrapped with which key; an error names what no configured key opens."""
        found = rotate_master(at=clock.now(), only_look=options["dry_run"])
        for name in sorted(found.before | found.after):
            self.stdout.write(f"{name}: {found.before[name]} before, {found.after[name]} now")
        for place in found.lost:
            self.stdout.write(f"no key opens {place}")
        if found.lost:
            message = f"{len(found.lost)} values are wrapped with a key that ZHIYIN_MASTER_KEYS does not name"
            raise CommandError(message)
        old = sorted(set(found.after) - {current_master()})
        if old:
            self.stdout.write(f"still needed: {', '.join(old)}")
        else:
            self.stdout.write(f"everything is wrapped with {current_master()}; older keys can be taken away")
