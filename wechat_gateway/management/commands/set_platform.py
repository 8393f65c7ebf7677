"""Make or change the installation's third-party platform."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from common import clock
from common.errors import AppError
from wechat_gateway import platforms, services

# Secrets come by the environment: arguments can be read by everybody on the machine.
SECRETS: Final = {
    "app_secret": "ZHIYIN_PLATFORM_SECRET",
    "callback_token": "ZHIYIN_PLATFORM_TOKEN",
    "encoding_aes_key": "ZHIYIN_PLATFORM_AES_KEY",
}


class Command(BaseCommand):
    """`manage.py set_platform wx… --name …`, with the three secrets in the environment."""

    help = "Stores the third-party platform's keys, and prints the two addresses for the Open Platform console."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("appid", help="AppID of the platform")
        parser.add_argument("--name", default="", help="what operators see")

    def handle(self, *args: Any, **options: Any) -> None:
        secrets = {name: os.environ.get(variable, "") for name, variable in SECRETS.items()}
        missing = [SECRETS[name] for name, value in secrets.items() if not value]
        if missing:
            raise CommandError(f"not set: {', '.join(missing)}")
        appid = options["appid"]
        try:
            platform = services.set_platform(name=options["name"] or appid, appid=appid, at=clock.now(), **secrets)
        except AppError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"authorisation events: {platforms.events_url(platform)}")
        self.stdout.write(f"messages and events:  {platforms.messages_url()}")
