"""What can go wrong with brands, staff and keys."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import AppError, Conflict, Forbidden


class NoBrandInScope(AppError):
    """Brand rows were touched while no brand was known: a fault of ours, never of the caller."""

    code = "no_brand_in_scope"
    status = 500

    def __init__(self) -> None:
        super().__init__("brand rows were touched while no brand is in scope")


class BrandMismatch(AppError):
    """A row, scope or reference of another brand was about to be used."""

    code = "brand_mismatch"
    status = 500

    def __init__(self) -> None:
        super().__init__("another brand's row was about to be used")


class ReadOnlyScope(AppError):
    """Something was about to be written where only reading is allowed."""

    code = "read_only_scope"
    status = 500

    def __init__(self) -> None:
        super().__init__("this scope may only read")


class NotAllowed(Forbidden):
    """The role of the person does not include this."""

    code = "not_allowed"

    def __init__(self, role_label: str = "") -> None:
        super().__init__(
            _("Your role “%(role)s” cannot do this.") % {"role": role_label},
            hint=_("Ask the brand owner to grant it."),
        )


class LastOwner(Conflict):
    """The last owner of a brand cannot be removed."""

    code = "last_owner"

    def __init__(self) -> None:
        super().__init__(_("A brand needs at least one owner."), hint=_("Make somebody else an owner first."))


class Unsealable(AppError):
    """A sealed value does not belong to this row, or was changed, or its key is gone."""

    code = "unsealable"
    status = 500

    def __init__(self) -> None:
        super().__init__("a sealed value could not be opened in its context")
