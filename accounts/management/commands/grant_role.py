"""`manage.py grant_role`: give an existing account a role in a brand, say to an agency that works for several."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import StaffUser
from accounts.roles import DataScope, Role
from accounts.selectors import brand_by_slug
from accounts.services import grant_role
from accounts.tenancy import brand_scope


class Command(BaseCommand):
    """The console only makes new accounts: taking over one that exists needs somebody who knows whose it is."""

    help = "Give an existing account a role in a brand."

    def add_arguments(self, parser: Any) -> None:
        """Take brand, account, role and data scope."""
        parser.add_argument("--brand", required=True, help="the brand's address, such as lanyu")
        parser.add_argument("--user", required=True, help="the user name")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--scope", default=DataScope.BRAND, choices=DataScope.values)

    def handle(self, *args: Any, **options: Any) -> None:
        """Grant, with an entry in the brand's audit log."""
        brand = brand_by_slug(options["brand"])
        if brand is None:
            message = f"There is no brand at {options['brand']}."
            raise CommandError(message)
        user = StaffUser.objects.filter(username=options["user"]).first()
        if user is None:
            message = f"There is no account {options['user']}."
            raise CommandError(message)
        with brand_scope(brand.pk):
            grant_role(staff_user=user, role=options["role"], scope=options["scope"])
        self.stdout.write(f"{user.username} is {options['role']} of {brand.name}.")
