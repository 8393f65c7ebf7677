"""The coupons app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class CouponsConfig(AppConfig):
    """Coupons and their codes."""

    name = "coupons"
    verbose_name = _("Coupons")

    def ready(self) -> None:
        """Take part in merges and erasures; let segments count what people did with coupons."""
        from coupons import news  # noqa: F401 - tells holders of coupons that end
        from coupons.channel_figures import BOUGHT_WITHOUT, TAKEN
        from coupons.models import Move, MoveKind
        from coupons.selectors import scans
        from coupons.services import (
            lapse_coupons,
            move_coupons,
            note_purchase,
            owe_for_scan,
            return_coupons,
            return_refunded,
            shown_coupons,
        )
        from loyalty.services.facts import on_fact
        from members.happenings import Happening, happenings
        from members.merging import Asset, assets
        from members.services.erasure import on_erase
        from touchpoints.selectors import BargainSign, BenefitKind, bargain_signs, benefit_kinds

        bargain_signs.register("coupons.taken", BargainSign(_("took a coupon"), TAKEN, is_gain=True))
        bargain_signs.register("coupons.bought", BargainSign(_("bought without a coupon"), BOUGHT_WITHOUT))
        benefit_kinds.register(
            scans.KIND,
            BenefitKind(
                scans.LABEL,
                scans.choices,
                scans.offers,
                owe_for_scan,
                scans.tallies,
                scans.outcomes,
                scans.reason,
            ),
        )
        # After points: both lock the accounts of the two people, and freezes come along before their coupons.
        assets.register("coupons.coupons", Asset(_("Coupons"), move_coupons, return_coupons, shown_coupons, 210))
        on_fact.register("coupons.after_purchases", note_purchase)
        on_fact.register("coupons.refunds", return_refunded)
        on_erase.register("coupons.coupons", lapse_coupons)
        happenings.register(
            "coupons.given",
            Happening(pgettext_lazy("has …", "been given a coupon"), lambda: Move.objects.filter(kind=MoveKind.ISSUE)),
        )
        happenings.register(
            "coupons.used",
            Happening(
                pgettext_lazy("has …", "used a coupon"),
                lambda: Move.objects.filter(kind=MoveKind.REDEEM),
                is_act=True,
            ),
        )
