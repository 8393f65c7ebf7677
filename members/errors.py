"""What can go wrong with people, tags and segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.errors import AppError, Conflict, Invalid

if TYPE_CHECKING:
    from datetime import timedelta


class RuleInvalid(Invalid):
    """A segment rule cannot be used; `field` is the path of the fault, such as `all[1].params.days`."""

    code = "rule_invalid"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message, field=path)
        self.path = path


class PhoneTaken(Conflict):
    """The phone belongs to another member of the brand."""

    code = "phone_taken"

    def __init__(self, *, holder_id: int | None = None, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(
            _("This phone is already bound to another member."),
            hint=_("Ask the service desk to check whether both are the same person."),
        )
        self.holder_id = holder_id
        self.reasons = reasons


class OtherPhone(Conflict):
    """A system says a phone of somebody who has another one."""

    code = "other_phone"

    def __init__(self) -> None:
        super().__init__(
            _("Not linked: the member has another phone."),
            hint=_("Members change it in the mini program. A phone that this system has linked can be ended first."),
        )


class MemberErased(Conflict):
    """A system says something of a person whose data was deleted."""

    code = "member_gone"

    def __init__(self) -> None:
        super().__init__(
            _("Not linked: this person's data was deleted."), hint=_("Delete what your own system has of them.")
        )


class IdentityOfAnother(Conflict):
    """A system ends what somebody else has linked."""

    code = "not_yours"

    def __init__(self) -> None:
        super().__init__(
            _("Not ended: this was linked by somebody else."),
            hint=_("Only the system that linked it can end it, with a key of the same name."),
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


class SegmentNotFound(Conflict):
    """The people of a kept segment have not been found yet, or not since its rule changed."""

    code = "segment_not_found_yet"

    def __init__(self) -> None:
        super().__init__(
            _("The people of this segment have not been found yet."), hint=_("Ask again in a minute or two.")
        )


class LimitInvalid(Invalid):
    """How a segment is brought up to date cannot be as it is given; `field` names what is wrong."""

    code = "limit_invalid"

    def __init__(self, field: str, longest: timedelta) -> None:
        said = {
            "freshness": _("Choose how the segment is brought up to date."),
            "limit_minutes": _("The oldest for sending can be up to %(days)s days.") % {"days": longest.days},
        }
        super().__init__(said[field], field=field)


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


class TagStays(Conflict):
    """A tag is not deleted at WeChat, or not made there: something of ours says otherwise."""

    code = "tag_stays"


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


class MergeNotUndone(Conflict):
    """A merge cannot be taken back; `why` says what stands in the way."""

    code = "merge_not_undone"

    def __init__(self, why: str) -> None:
        said = {
            "done": (_("This merge was undone already."), ""),
            "later": (
                _("Not undone: one of the two records was merged again later."),
                _("Undo the later merge first."),
            ),
            "erased": (_("Not undone: the personal data was deleted meanwhile."), ""),
            "reason": (_("Not undone. A reason is needed."), _("Say in a few words why these are two people.")),
        }
        message, hint = said[why]
        super().__init__(message, hint=hint, field="reason" if why == "reason" else "")
        self.why = why


class DoubtNotDecided(Conflict):
    """Two records cannot be decided about; `why` says what stands in the way."""

    code = "doubt_not_decided"

    def __init__(self, why: str) -> None:
        said = {
            "decided": (_("Nothing was changed. Somebody has decided this already."), _("Open the page again.")),
            "gone": (
                _("Nothing was changed. One of the two records was merged or deleted meanwhile."),
                _("Open the page again."),
            ),
            "reason": (_("Nothing was changed. A reason is needed."), _("Say in a few words why.")),
            "unknown": (
                _("Nothing was changed. There is no other record with this member number."),
                _("Copy the number from the page of the other record."),
            ),
        }
        message, hint = said[why]
        super().__init__(message, hint=hint, field="reason" if why == "reason" else "")
        self.why = why


class CodeNotForYou(Conflict):
    """Only members have a member code."""

    code = "not_a_member"

    def __init__(self) -> None:
        super().__init__(_("Only members have a member code."), hint=_("Bind a phone to become a member."))


class CodeUnknown(Invalid):
    """No member shows this code."""

    code = "code_unknown"

    def __init__(self) -> None:
        super().__init__(
            _("No member shows this code."), hint=_("Scan the code on the member's phone again."), field="code"
        )


class CodeExpired(Conflict):
    """The code was right, but it has changed since: a screenshot, or scanned too late."""

    code = "code_expired"

    def __init__(self) -> None:
        super().__init__(
            _("This code has expired; codes change every half minute."),
            hint=_("Scan the code that the phone shows now; a picture of it does not work."),
        )


class CodeUsed(Conflict):
    """The code, or a newer one, was taken already."""

    code = "code_used"

    def __init__(self) -> None:
        super().__init__(
            _("This code was used already."), hint=_("Wait until the phone shows a new one, at most half a minute.")
        )


class CodeKeyReused(Invalid):
    """The caller's key stands for another code."""

    code = "key_reused"

    def __init__(self) -> None:
        super().__init__(_("This key was used for another code."), hint=_("Take a new key for each scan."), field="key")


class TillClockOff(Invalid):
    """The till's clock is too far from the time."""

    code = "clock_off"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            _("The till's clock is %(seconds)s s off.") % {"seconds": f"{seconds:+d}"},
            hint=_("Set the till's clock, or leave the moment of the scan out."),
            field="scanned_at",
        )


class TopicInvalid(Invalid):
    """A topic of the preference centre cannot be saved as it is; `field` says why."""

    code = "topic_invalid"

    def __init__(self, field: str) -> None:
        said = {
            "code": _("A code has 1 to 20 small letters, digits, - or _ and begins with a letter."),
            "name": _("A name has 1 to 30 characters."),
            "many": _("There are 30 topics already; people choose among few."),
            "taken": _("Somebody has just made a topic with this code."),
        }
        super().__init__(said[field], field=field if field in {"code", "name"} else "code")


class PreferenceInvalid(Invalid):
    """A choice names something that does not exist."""

    code = "preference_invalid"

    def __init__(self, field: str, name: str) -> None:
        said = {
            "topics": _("This topic does not exist: %(name)s"),
            "carriers": _("This way of sending does not exist: %(name)s"),
            "quiet": _("Quiet hours need a beginning and another end."),
        }
        super().__init__(said[field] % {"name": name[:40]} if name else said[field], field=field)


class ConsentTextInvalid(Invalid):
    """A purpose or the text of one cannot be used; `field` says why."""

    code = "consent_text_invalid"

    def __init__(self, field: str, reason: str = "") -> None:
        said = {
            "purpose": _("This purpose does not exist."),
            "text_version": _("The brand has no text of this version for this purpose."),
            "version": _("There is a text of this version already; a new wording is a new version."),
            "body": _("Write the text people are shown."),
            "code": _("A code has 1 to 20 capital letters, digits or _ and is not one of ours."),
            "name": _("A name has 1 to 30 characters."),
            "meaning": _("Say in up to 200 characters what the data is used for."),
        }
        super().__init__(said[reason or field], field=field)


class RequestAsked(Conflict):
    """The same is asked for already and not yet answered."""

    code = "request_open"

    def __init__(self) -> None:
        super().__init__(
            _("The same request is open already."),
            hint=_("It is answered within the time shown; a new one can be made then."),
        )


class RequestAnswered(Conflict):
    """The request was answered before."""

    code = "request_answered"

    def __init__(self) -> None:
        super().__init__(_("This request has been answered."), hint=_("Look at its page."))


class CopyGone(Conflict):
    """The copy was fetched already, or its time is over."""

    code = "copy_gone"

    def __init__(self) -> None:
        super().__init__(
            _("This copy was fetched already, or its time is over."), hint=_("Ask for a new copy; it is made at once.")
        )


class ErasureHeld(Conflict):
    """Something must be settled before the person's data may be deleted."""

    code = "erasure_held"

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(
            _("Not deleted yet: %(reasons)s") % {"reasons": _("; ").join(reasons)},
            hint=_("Settle it first, or tell the person until when it is kept and why."),
        )


class RequestInvalid(Invalid):
    """What was entered for a request cannot be used; `field` says where."""

    code = "request_invalid"

    def __init__(self, field: str) -> None:
        said = {
            "words": _("Say in up to 200 characters what is wrong and how it should be."),
            "refusal": _("Give the reason that the person is told, up to 200 characters."),
            "answer": _("Say in up to 400 characters what the person is told."),
            "reason": _("Give a reason of up to 120 characters."),
        }
        super().__init__(said[field], field=field)


class RetentionInvalid(Invalid):
    """A class of data cannot be kept so short or so long."""

    code = "retention_invalid"

    def __init__(self, least: int, most: int) -> None:
        super().__init__(
            _("This data is kept for %(least)s to %(most)s days.") % {"least": f"{least:,}", "most": f"{most:,}"},
            field="days",
        )


class ProfileValueInvalid(Invalid):
    """A value of a profile cannot be kept; `field` names the fact."""

    code = "profile_value_invalid"

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message, field=key)


class ProfileFieldInvalid(Invalid):
    """A field of the brand's own cannot be made like this; `field` names what is wrong."""

    code = "profile_field_invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class FlagInvalid(Invalid):
    """Somebody cannot be left out like this; `field` says why."""

    code = "flag_invalid"

    def __init__(self, field: str) -> None:
        said = {
            "kind": _("Choose one of: staff, test, blocked."),
            "reason": _("Give a reason of 2 to 120 characters."),
            "since": _("Choose a time in the past, or from the start."),
            "until": _("Choose a time in the past, or as if it had never been."),
        }
        super().__init__(said[field], field=field)


class SmsOff(Conflict):
    """The brand sends no text messages."""

    code = "sms_off"

    def __init__(self) -> None:
        super().__init__(
            _("This brand sends no codes by text message."),
            hint=_("Join with the phone button of the mini program, or by scanning the guide's join code."),
        )


class SmsTooMany(AppError):
    """A code was asked for too often: of the phone, by the caller, from the address or of the brand."""

    code = "throttled"
    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            _("Codes were asked for too often."),
            hint=_("Try again in %(seconds)s seconds.") % {"seconds": retry_after},
        )
        self.retry_after = retry_after


class SmsCodeRefused(Conflict):
    """The code does not work; the answer is the same whatever the reason."""

    code = "sms_code_refused"

    def __init__(self) -> None:
        super().__init__(
            _("This code does not work."), hint=_("Look at the newest message, or have another code sent in a minute.")
        )


class SmsSettingsInvalid(Invalid):
    """A setting of text messages cannot be used; `field` names it."""

    code = "sms_settings_invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class JoinCodeRefused(Conflict):
    """The join code is not, or no longer, one that a guide shows."""

    code = "join_code_refused"

    def __init__(self) -> None:
        super().__init__(
            _("This join code does not work any more."), hint=_("Scan the one that the guide's phone shows now.")
        )


class LookedUpTooOften(Conflict):
    """One person of the staff may search by so many full phone numbers a day."""

    code = "looked_up_too_often"

    def __init__(self, limit: int) -> None:
        super().__init__(
            _("Not searched. You have looked up %(limit)s phone numbers today.") % {"limit": limit},
            hint=_("Tomorrow it is possible again; by name or the last 4 digits it is possible now."),
        )
