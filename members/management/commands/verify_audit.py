"""Verify the audit log of a brand against its seals and its anchors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit_chain import read_anchors
from accounts.models import Brand
from common import clock
from members.services import verify_audit

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """`manage.py verify_audit --brand SLUG [--anchors FILE]`; ends with an error when something was bent."""

    help = "Verifies that a brand's audit log says what it said when it was sealed, and that nothing is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the brand, and anchors that were kept elsewhere."""
        parser.add_argument("--brand", required=True, help="address of the brand")
        parser.add_argument("--anchors", default="", help="a file of anchors kept elsewhere, one a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each finding on a line of its own, and what was looked at."""
        brand = Brand.objects.filter(slug=options["brand"]).first()
        if brand is None:
            message = f"there is no brand {options['brand']!r}"
            raise CommandError(message)
        anchors = []
        if options["anchors"]:
            try:
                anchors = list(read_anchors(Path(options["anchors"]).read_bytes()))
            except OSError as error:
                message = f"cannot read {options['anchors']}: {error.strerror}"
                raise CommandError(message) from None
            if not anchors:
                message = f"{options['anchors']} has no anchor in it"
                raise CommandError(message)
        report = verify_audit(brand.pk, at=clock.now(), more_anchors=anchors)
        for what, where in report.findings:
            self.stdout.write(f"{what}: {where}")
        self.stdout.write(
            f"{report.entries} entries in {report.blocks} blocks, {report.anchors} anchors; {report.nameless} without "
            f"words after an erasure, {report.trimmed} gone by age, {report.waiting} not sealed yet"
        )
        if report.unreadable_anchors:
            self.stdout.write(f"{report.unreadable_anchors} anchors were signed by a master key that is not here")
        if report.findings:
            message = f"{len(report.findings)} findings in the audit log of {brand.name}"
            raise CommandError(message)
        self.stdout.write(f"the audit log of {brand.name} is what it was when it was sealed")
