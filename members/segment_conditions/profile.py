"""What segments can ask about a brand's own profile fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.models import FieldKind, ProfileField, ProfileValue, Sensitivity
from members.picks import names_of, unknown
from members.segments import Field, condition

if TYPE_CHECKING:
    from datetime import datetime

    from members.person import PersonAt


@condition
class InProfile:
    """Of whom the word that counts about a field is one of some values."""

    key: ClassVar[str] = "profile"
    label = gettext_lazy("Profile field")
    fields = (
        Field("fields", gettext_lazy("field"), "profile_fields"),
        Field("values", gettext_lazy("is one of"), "words"),
    )

    @dataclass(frozen=True)
    class Params:
        """`fields`: exactly one field of the brand; `values`: what it says."""

        fields: tuple[int, ...]
        values: tuple[str, ...]

    def clean(self, params: Params) -> str | None:
        """One field, and one that everybody may see: a segment would tell the others."""
        if len(params.fields) != 1:
            return _("Choose exactly one field.")
        problem = unknown("profile_fields", params.fields)
        if problem:
            return problem
        if not ProfileField.objects.filter(pk=params.fields[0], sensitivity=Sensitivity.PLAIN).exists():
            return _("This field is not for everybody's eyes; segments cannot ask for it.")
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at the words that count."""
        field = ProfileField.objects.get(pk=params.fields[0])
        words = [_stored(field, word) for word in params.values]
        rows = ProfileValue.objects.filter(key=field.key, counts=True, text__in=words)
        return Q(pk__in=rows.values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        label = next(iter(names_of("profile_fields", params.fields).values()), "--")
        return _("has in “%(field)s”: %(values)s") % {"field": label, "values": _(" or ").join(params.values)}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say what counts."""
        field = ProfileField.objects.filter(pk=params.fields[0]).first()
        row = ProfileValue.objects.filter(member=person.member, key=field.key, counts=True).first() if field else None
        return row.text if row and row.text else _("nothing is known")


def _stored(field: ProfileField, word: str) -> str:
    """Give a word as it is kept: yes and no are written in the reader's language."""
    if field.kind == FieldKind.YES_NO:
        return {_("yes"): "yes", _("no"): "no"}.get(word, word)
    return word
