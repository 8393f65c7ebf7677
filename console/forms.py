"""Forms of brand rows: uniqueness within the brand becomes an error at the field; secrets can be set, never read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from unfold.widgets import INPUT_CLASSES, UnfoldAdminTextInputWidget

from accounts.tenancy import current_brand_id

TAKEN = _("Already in use. Choose another.")


class BrandModelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form of a brand table. The brand is no field: it comes from the scope, and uniqueness is checked with it.

    Subclasses name no `Meta`: the admin class gives model and fields at the request, when a brand is in scope.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Give a new row its brand before anything is validated."""
        super().__init__(*args, **kwargs)
        if hasattr(self.instance, "brand_id") and self.instance.brand_id is None:
            self.instance.brand_id = current_brand_id()

    def validate_unique(self) -> None:
        """Check uniqueness within the brand too; the error stands at the field a person typed into."""
        super().validate_unique()
        form: Any = self  # the stubs leave Django's own hook out
        exclude = form._get_validation_exclusions() - {"brand"}  # noqa: SLF001 - documented for subclasses
        for _model, constraints in self.instance.get_constraints():
            for constraint in constraints:
                if isinstance(constraint, models.UniqueConstraint) and "brand" in constraint.fields:
                    self._check(constraint, exclude)

    def _check(self, constraint: models.UniqueConstraint, exclude: set[str]) -> None:
        try:
            constraint.validate(type(self.instance), self.instance, exclude=exclude)
        except ValidationError:
            field = next((name for name in reversed(constraint.fields) if name in self.fields), None)
            self.add_error(field, TAKEN)


def refusing(form: type[forms.BaseModelForm[Any]], reason: str) -> Any:
    """Give the form class with one more error: what the database refused although the form could not know."""

    class Refusing(form):  # type: ignore[valid-type, misc]
        def _post_clean(self) -> None:
            super()._post_clean()
            if not self.errors:
                self.add_error(NON_FIELD_ERRORS, reason)

    return Refusing


class SecretField(forms.CharField):
    """A secret that can be set and never read: empty keeps what is stored."""

    write_only = True

    def __init__(self, **kwargs: Any) -> None:
        """Take text; never show it again."""
        kwargs.setdefault("required", False)
        kwargs.setdefault(
            "widget",
            forms.PasswordInput(
                render_value=False,
                attrs={"class": " ".join(INPUT_CLASSES), "autocomplete": "new-password", "spellcheck": "false"},
            ),
        )
        super().__init__(**kwargs)


class TextForm(forms.Form):
    """One line of text, such as a reason."""

    def __init__(
        self, *args: Any, label: Any = "", max_length: int = 200, required: bool = True, **kwargs: Any
    ) -> None:
        """Name the line."""
        super().__init__(*args, **kwargs)
        self.fields["text"] = forms.CharField(
            label=label,
            max_length=max_length,
            required=required,
            strip=True,
            widget=UnfoldAdminTextInputWidget(),
        )
