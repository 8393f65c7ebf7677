"""`manage.py demo`: load the invented brands, and tell people and scripts how to use them."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common.clock import now
from demo.brands import BRANDS, PASSWORD, PLATFORM_ADMIN
from demo.checks import compare
from demo.load import SimulatorAway, load, truth_of, truth_path
from demo.truth import SIZES
from guides.models import Guide
from touchpoints.models import Touchpoint
from wechat_gateway.models import OfficialAccount


class Command(BaseCommand):
    """Load, describe, greet."""

    help = "Load the demo brands (--load), describe them for scripts (--json) or for people (--banner)."

    def add_arguments(self, parser: Any) -> None:
        """Take one of three modes."""
        mode = parser.add_mutually_exclusive_group(required=True)
        mode.add_argument("--load", action="store_true", help="load the demo brands; what is there stays")
        mode.add_argument("--json", action="store_true", help="print everything a script needs")
        parser.add_argument("--size", choices=list(SIZES), default="S", help="how large a crowd to plant beside")
        mode.add_argument("--check", action="store_true", help="compare reports with the truth file of the size")
        mode.add_argument("--banner", action="store_true", help="print addresses, logins and what to try first")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        if settings.IS_PRODUCTION:
            message = "The demo brands have known passwords: they are refused when ZHIYIN_ENV=production."
            raise CommandError(message)
        if options["load"]:
            try:
                load(self.stdout.write, options["size"])
            except SimulatorAway as error:
                message = f"The simulator at {settings.SIMULATOR_URL} did not take the demo world: {error}"
                raise CommandError(message) from error
            return
        if options["check"]:
            self._check(options["size"])
            return
        facts = describe()
        if options["json"]:
            self.stdout.write(json.dumps(facts, ensure_ascii=False, indent=2))
        else:
            self.stdout.write(banner(facts))

    def _check(self, size: str) -> None:
        """Say of every figure what is true and what the product tells. Raises CommandError when they differ."""
        wrong = checked = 0
        for slug, truths in truth_of(size).items():
            brand = Brand.objects.filter(slug=slug).first()
            true = truths.get("planted" if size == "S" else "whole")
            if brand is None or not true:
                continue
            with brand_scope(brand.pk):
                compared = list(compare(true, at=now()))
            self.stdout.write(f"{brand.name}: {len(compared)} figures of {truth_path(size)}")
            for each in compared:
                told = "nothing" if each.told is None else f"{each.told:,}"
                if not each.is_right:
                    self.stdout.write(f"  {each.key}: true is {each.true:,}, a report tells {told}")
                elif ":" not in each.key:
                    self.stdout.write(f"  {each.key}: {told}")
            wrong, checked = wrong + sum(not each.is_right for each in compared), checked + len(compared)
        if not checked:
            message = f"Nothing is known to be true of size {size}: it was not loaded into this product."
            raise CommandError(message)
        if wrong:
            message = f"{wrong} of {checked} figures are wrong."
            raise CommandError(message)
        self.stdout.write(f"All {checked} figures are right.")


def describe() -> dict[str, Any]:
    """Give what a script needs to play with the demo brands."""
    brands = []
    for demo in BRANDS:
        brand = Brand.objects.filter(slug=demo.slug).first()
        if brand is None:
            continue
        with brand_scope(brand.pk):
            account = OfficialAccount.objects.get(appid=demo.appid)
            codes = [
                {"name": row.name, "scene": row.scene, "ticket": row.ticket}
                for row in Touchpoint.objects.filter(account=account).exclude(scene="").order_by("pk")
            ]
            guides = list(Guide.objects.order_by("pk").values_list("staff_no", flat=True))
        brands.append(
            {
                "id": brand.pk,
                "slug": demo.slug,
                "name": demo.name,
                "console": f"{settings.CONSOLE_URL}/b/{demo.slug}/",
                "appid": demo.appid,
                "original_id": demo.original_id,
                "secret": demo.secret,
                "callback_url": f"{settings.PUBLIC_URL}/wx/{account.path_token}",
                "token": demo.token,
                "encoding_aes_key": demo.aes_key,
                "mini_program": {"appid": demo.mini_appid, "secret": demo.mini_secret},
                "staff": [
                    {"username": person.username, "password": PASSWORD, "name": person.name, "role": person.role}
                    for person in demo.staff
                ],
                "guides": guides,
                "codes": codes,
            },
        )
    return {
        "console": settings.CONSOLE_URL,
        "api": f"{settings.CONSOLE_URL}/api/v1/",
        "simulator": settings.SIMULATOR_URL,
        "phone": f"{settings.SIMULATOR_URL}/phone/",
        "platform_admin": {"username": PLATFORM_ADMIN, "password": PASSWORD},
        "brands": brands,
    }


def banner(facts: dict[str, Any]) -> str:
    """Say where everything is and what to try first."""
    lines = [
        "",
        "  知音 Zhiyin is ready",
        "",
        f"  Console    {facts['console']}/          API docs  {facts['console']}/api/docs/",
        f"  Phone page {facts['phone']}",
        "",
        f"  Logins (password {PASSWORD})",
    ]
    for brand in facts["brands"]:
        people = ", ".join(f"{person['username']} ({person['role'].lower()})" for person in brand["staff"])
        lines.append(f"    {brand['name']:　<5} {people}")
    lines += [
        f"    platform  {PLATFORM_ADMIN}",
        "",
        "  Try this first",
        "    1. Phone page: choose 小雨, 扫一扫 → 「上海静安店 · LY0007」 → 关注公众号: the code's welcome appears.",
        "    2. Type 营业时间, tap 服务 › 附近门店, send the place 静安寺.",
        "    3. Console as lanyu-ops: 会员 → 粉丝, the newest row: the code's tag and guide LY0007.",
        "    4. 人群 → build one, 活动 → write a template message, 发送测试, 开始发送; watch both windows.",
        "",
    ]
    return "\n".join(lines)
