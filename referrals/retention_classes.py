"""How long fingerprints of devices, payments and addresses are kept: as long as they can tell a made-up invitation."""

from django.utils.translation import gettext_lazy as _

from members.retention import DataClass, classes, piece
from referrals.models import Sign

classes.register(
    "referral_signs",
    DataClass(
        label=_("Fingerprints of devices, payments and addresses of invitations"),
        law=_("PIPL art. 19: no longer than the purpose needs"),
        old=lambda before: Sign.objects.filter(at__lt=before),
        proposed=180,
        least=30,
        most=400,
        drop=lambda before: piece(Sign.objects.filter(at__lt=before)),
        order=60,
    ),
)
