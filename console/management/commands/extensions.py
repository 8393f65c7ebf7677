"""List every registry, what it is for, and what is registered in it from where (docs/extending.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import get_resolver

from common import registry

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py extensions` lists everything; `manage.py extensions carriers` one registry."""

    help = "List what extends the product: each registry, its purpose, its keys and where they come from."
    requires_system_checks: tuple[str, ...] = ()  # reads what is imported, opens no connection

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("registry", nargs="?", help="the name of one registry")

    def handle(self, *args: Any, **options: Any) -> None:
        for urlconf in (settings.ROOT_URLCONF, settings.CONSOLE_URLCONF):  # edges register when they are imported
            _ = get_resolver(urlconf).url_patterns
        name = options["registry"]
        if name is not None and name not in registry.ALL:
            known = ", ".join(sorted(registry.ALL))
            raise CommandError(f"There is no registry {name!r}. There are: {known}.")
        for each in [name] if name is not None else sorted(registry.ALL):
            self._list(registry.ALL[each])

    def _list(self, one: registry.Registry[object]) -> None:
        entries = one.entries()
        self.stdout.write(self.style.MIGRATE_HEADING(f"{one.name}: {one.purpose}"))
        width = max((len(entry.key) for entry in entries), default=0)
        for entry in entries:
            self.stdout.write(f"  {entry.key:<{width}}  {entry.where}")
        if not entries:
            self.stdout.write("  nothing yet")
