"""What can go wrong with people, tags and segments."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

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


class TagFieldInvalid(Invalid):
    """A fact of a tag is out of range; `field` names it."""

    code = "tag_field_invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class TagGroupHasDoubles(Conflict):
    """A group cannot become exclusive as long as people carry two of its tags."""

    code = "tag_group_has_doubles"

    def __init__(self, name: str, people: int) -> None:
        super().__init__(
            ngettext(
                "%(people)s person carries more than one tag of the group “%(name)s”.",
                "%(people)s people carry more than one tag of the group “%(name)s”.",
                people,
            )
            % {"people": people, "name": name},
            hint=_("Let everybody keep the tag they got last, or take the others off first."),
        )
        self.people = people


class TagRuleNameTaken(Conflict):
    """Another automatic tag of the brand has this name."""

    code = "tag_rule_name_taken"

    def __init__(self) -> None:
        super().__init__(_("Another automatic tag already has this name."), hint=_("Choose another name."))


class ShareInvalid(Invalid):
    """A share of people is out of range."""

    code = "share_invalid"

    def __init__(self, most: int) -> None:
        super().__init__(_("A share from 0 to %(most)s %% is possible.") % {"most": most}, field="percent")


class SuppressionInvalid(Invalid):
    """An entry of the do-not-send list cannot be made as it is; `field` says why."""

    code = "suppression_invalid"

    def __init__(self, field: str) -> None:
        said = {
            "reason": _("Give a reason of up to 120 characters."),
            "until": _("The end must lie in the future."),
        }
        super().__init__(said[field], field=field)


class GroupingInvalid(Invalid):
    """A grouping cannot be made like this; `field` names what is wrong."""

    code = "grouping_invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class PreTagInvalid(Invalid):
    """A list of tags that wait for people cannot be taken as it is; `field` says why."""

    code = "pre_tag_invalid"

    def __init__(self, field: str) -> None:
        said = {
            "source": _("Say in up to 40 characters where the list comes from."),
            "values": _("Give 1 to 1,000 phones or UnionIDs."),
            "tags": _("This tag does not exist."),
            "until": _("The end must lie in the future."),
        }
        super().__init__(said[field], field=field)
