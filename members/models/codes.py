"""Member codes that a counter has taken."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import SealedTextField
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models.people import Member


class CodeUse(BrandOwned):
    """A member code that was taken at a counter: no other use of it, nor of an earlier one, is possible.

    `step` is the half minute the code was shown in; `actor` and `key` are the till and its own number for the act;
    `code_index` is a fingerprint of the code, so that a key used for another code is noticed; `answer` is what the till
    was told, for when it asks with the same key again (none of uses before it was kept).
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    member = BrandForeignKey(Member, models.CASCADE, related_name="+", verbose_name=_("member"))
    step = models.BigIntegerField()
    actor = models.CharField(_("who"), max_length=40)
    key = models.CharField(_("operation key"), max_length=100)
    code_index = models.UUIDField()
    at = models.DateTimeField(_("when"))
    answer = SealedTextField(bind=("public_id",), null=True, blank=True, editable=False)

    class Meta(BrandOwned.Meta):
        verbose_name = _("use of a member code")
        verbose_name_plural = _("uses of member codes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member", "step"], name="member_code_once"),
            models.UniqueConstraint(fields=["brand", "actor", "key"], name="member_code_operation_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
