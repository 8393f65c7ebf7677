"""The referrals app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class ReferralsConfig(AppConfig):
    """Invitations that reward both sides."""

    name = "referrals"
    verbose_name = _("Invitations")

    def ready(self) -> None:
        """Hear of scans and refunds; take part in merges and erasures; let segments count who brings people."""
        from loyalty.services.facts import on_fact
        from members.happenings import Happening, happenings
        from members.merging import Asset, assets
        from members.services.erasure import on_erase
        from referrals.models import Referral, State
        from referrals.services import after_refund, come_by_code, forget
        from referrals.services.people import CODES, INVITED, INVITERS, SIGNS
        from touchpoints.services.touches import on_touch

        on_touch.register("referrals.come_by_code", come_by_code)
        on_fact.register("referrals.refunds", after_refund)
        on_erase.register("referrals.forget", forget)
        # After points: they lock the accounts of both, as giving does.
        assets.register("referrals.codes", Asset(_("Invitation codes"), CODES.move, CODES.give_back, order=220))
        assets.register("referrals.brought", Asset(_("People invited"), INVITERS.move, INVITERS.give_back, order=221))
        assets.register("referrals.came", Asset(_("Invited by"), INVITED.move, INVITED.give_back, order=222))
        assets.register("referrals.signs", Asset(_("Signs of invitations"), SIGNS.move, SIGNS.give_back, order=223))
        happenings.register(
            "referrals.brought",
            Happening(
                pgettext_lazy("has …", "brought somebody who was rewarded for it"),
                lambda: Referral.objects.filter(state__in=[State.PAID, State.DOUBTED]),
                member="inviter_id",
                at="settled_at",
            ),
        )
