"""What can go wrong with people, tags and segments."""

from __future__ import annotations

from django.utils.translation import gettext as _

from common.errors import Conflict, Invalid


class RuleInvalid(Invalid):
    """A segment rule cannot be used; `field` is the path of the fault, such as `all[1].params.days`."""

    code = "rule_invalid"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message, field=path)
        self.path = path


class PhoneTaken(Conflict):
    """The phone belongs to another member of the brand."""

    code = "phone_taken"

    def __init__(self) -> None:
        super().__init__(
            _("This phone is already bound to another member."),
            hint=_("Ask the service desk to check whether both are the same person."),
        )


class PhoneInvalid(Invalid):
    """The text is no mobile number we can reach."""

    code = "phone_invalid"

    def __init__(self) -> None:
        super().__init__(_("This is not a valid mobile number."), field="phone")


class TagNameTaken(Conflict):
    """Another tag of the brand has this name."""

    code = "tag_name_taken"

    def __init__(self) -> None:
        super().__init__(_("Another tag already has this name."), hint=_("Choose another name."))


class TagNameTooLong(Invalid):
    """WeChat takes tag names of up to 30 bytes, which is ten Chinese characters."""

    code = "tag_name_too_long"

    def __init__(self) -> None:
        super().__init__(
            _("WeChat takes tag names of up to 30 bytes (10 Chinese characters)."),
            hint=_("Shorten the name, or do not keep this tag in step with WeChat."),
            field="name",
        )


class SegmentNameTaken(Conflict):
    """Another segment of the brand has this name."""

    code = "segment_name_taken"

    def __init__(self) -> None:
        super().__init__(_("Another segment already has this name."), hint=_("Choose another name."))


class PhoneCodeUsed(Conflict):
    """A one-time phone code was sent before, has expired, or belongs to another person."""

    code = "phone_code_used"

    def __init__(self) -> None:
        super().__init__(
            _("This phone code was used or has expired."),
            hint=_("Look whether the phone is bound already; if not, let the person tap the button again."),
        )
