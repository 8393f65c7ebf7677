"""Forms of channels: one channel, and the new place of a branch."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from unfold.widgets import UnfoldAdminSelectMultipleWidget, UnfoldAdminSelectWidget

from console.forms import BrandModelForm
from members.models import Tag
from touchpoints import on_screen, selectors
from touchpoints.models import Touchpoint, TouchpointTag

NO_OWNER: Final = on_screen.NOTHING


class TouchpointForm(BrandModelForm):
    """A channel: where it stands, who answers for it, whether it has a code, what the code does."""

    tags: Any = forms.ModelMultipleChoiceField(
        queryset=None,
        required=False,
        label=gettext_lazy("Tags of this code"),
        help_text=gettext_lazy("Whoever scans the code gets these tags."),
        widget=UnfoldAdminSelectMultipleWidget(),
    )
    owner = forms.ChoiceField(
        required=False,
        label=pgettext_lazy("channel tree", "Owner"),
        help_text=gettext_lazy("Who answers for it. A guide who answers for a code becomes the guide of who scans it."),
        widget=UnfoldAdminSelectWidget(),
    )

    gives = forms.ChoiceField(
        required=False,
        label=gettext_lazy("What scanning it gives"),
        help_text=gettext_lazy(
            "Once to each person, within seconds. In the welcome, the word benefit in braces becomes its name."
        ),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer this brand's tags, owners and benefits, and show those the code has."""
        super().__init__(*args, **kwargs)
        self.fields["gives"].choices = on_screen.benefit_choices(self.instance)  # type: ignore[attr-defined]
        if self.instance.pk and self.instance.benefit_kind:
            self.initial["gives"] = f"{self.instance.benefit_kind}:{self.instance.benefit_id}"
        self.fields["tags"].queryset = Tag.objects.order_by("name")  # type: ignore[attr-defined]
        groups = [
            (str(kind.label), [(f"{key}:{pk}", name) for pk, name in kind.choices()])
            for key, kind in sorted(selectors.owners.items())
        ]
        self.fields["owner"].choices = [NO_OWNER, *((label, rows) for label, rows in groups if rows)]  # type: ignore[attr-defined]
        if self.instance.pk:
            chosen = TouchpointTag.objects.filter(touchpoint=self.instance).values_list("tag_id", flat=True)
            self.initial["tags"] = list(chosen)
            if self.instance.owner_kind:
                self.initial["owner"] = f"{self.instance.owner_kind}:{self.instance.owner_id}"

    def clean_parent(self) -> Touchpoint | None:
        """Refuse a branch below a code."""
        parent: Touchpoint | None = self.cleaned_data["parent"]
        if parent is not None and parent.scene:
            said = gettext("“%(name)s” is a code, and nothing stands below a code.")
            raise forms.ValidationError(said % {"name": parent.name})
        return parent

    @property
    def chosen_owner(self) -> tuple[str, int] | None:
        """Give the owner as kind and id."""
        return on_screen.chosen_pair(self.cleaned_data.get("owner", ""))

    @property
    def chosen_benefit(self) -> tuple[str, int] | None:
        """Give what scanning the code gives as kind and id."""
        return on_screen.chosen_pair(self.cleaned_data.get("gives", ""))


class MoveForm(forms.Form):
    """Where a branch is to hang, and how its past counts."""

    parent: Any = forms.ModelChoiceField(queryset=None, required=False)
    past = forms.ChoiceField(choices=(("keep", ""), ("restate", "")))

    def __init__(self, data: Any) -> None:
        """Offer this brand's folders."""
        super().__init__(data)
        self.fields["parent"].queryset = selectors.folders()  # type: ignore[attr-defined]
