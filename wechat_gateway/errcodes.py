"""WeChat's error codes: what each means, what the product does, what a person can do (reference: 6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class ErrorClass(StrEnum):
    """How an error code is treated, whatever the call was."""

    CREDENTIAL = "CREDENTIAL"  # the access token: refresh, once
    RETRY = "RETRY"  # busy: again later
    QUOTA = "QUOTA"  # no calls left: wait for the reset
    REQUEST = "REQUEST"  # this request can never work
    PERSON = "PERSON"  # this person cannot be reached this way
    CONFIGURATION = "CONFIGURATION"  # the account's settings or rights: people must act
    DONE = "DONE"  # it was done already
    UNKNOWN = "UNKNOWN"  # not in the table


class Reaction(StrEnum):
    """What the caller of a send does next, beside recording the outcome."""

    NONE = "NONE"
    RETRY = "RETRY"
    REFRESH_TOKEN = "REFRESH_TOKEN"  # noqa: S105 - not a password
    PARK_BRAND = "PARK_BRAND"
    PARK_CAMPAIGN = "PARK_CAMPAIGN"
    PARK_UNTIL_RESET = "PARK_UNTIL_RESET"
    PAUSE_MINUTE = "PAUSE_MINUTE"
    MARK_UNFOLLOWED = "MARK_UNFOLLOWED"
    MARK_OPENID_INVALID = "MARK_OPENID_INVALID"
    MARK_BLOCKED = "MARK_BLOCKED"
    CONSENT_USED = "CONSENT_USED"
    WINDOW_CLOSED = "WINDOW_CLOSED"
    ALARM = "ALARM"


_PERSON_HAS_MOST_TAGS: Final = 45059  # 20 (reference: service account 5.3)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code in words: `cause` says why it happened, `action` what to do. Both are lazy translations."""

    code: int
    error_class: ErrorClass
    reaction: Reaction
    cause: _StrPromise | str
    action: _StrPromise | str


_TABLE: Final[dict[int, Explanation]] = {}


def explain(code: int) -> Explanation:
    """The explanation of a code; unknown ones get a general text and class UNKNOWN (negative: RETRY)."""
    known = _TABLE.get(code)
    if known is not None:
        return known
    if code < 0:
        return Explanation(
            code, ErrorClass.RETRY, Reaction.RETRY, _("WeChat is busy."), _("It is tried again by itself.")
        )
    return Explanation(
        code,
        ErrorClass.UNKNOWN,
        Reaction.ALARM,
        _("WeChat answered with a code that is not known yet."),
        _("Look the code up in WeChat's documents; support needs the request number."),
    )


def is_about_person(code: int | None) -> bool:
    """Say whether a call was refused because of one person in it: without them the same call can work."""
    return code is not None and (code == _PERSON_HAS_MOST_TAGS or explain(code).error_class is ErrorClass.PERSON)


def explain_own(cause: str) -> Explanation | None:
    """Why we made no call at all, in the same words as WeChat's codes; None for what is no such cause."""
    return _OWN.get(cause)


def is_known(code: int) -> bool:
    """Whether the table has the code."""
    return code in _TABLE


UNKNOWN_MEDIA: Final = 40007
_UNKNOWN_TAG: Final = 45159


def is_unknown_media(code: int | None) -> bool:
    """Whether WeChat says that it has no such file (any more)."""
    return code == UNKNOWN_MEDIA


def is_unknown_tag(code: int | None) -> bool:
    """Whether WeChat says that it has no such tag; at times it says so of one that somebody else is just using."""
    return code == _UNKNOWN_TAG


def known_codes() -> list[int]:
    """Every code of the table, in order."""
    return sorted(_TABLE)


def _add(
    codes: int | tuple[int, ...] | range,
    error_class: ErrorClass,
    reaction: Reaction,
    cause: _StrPromise,
    action: _StrPromise,
) -> None:
    for code in (codes,) if isinstance(codes, int) else codes:
        _TABLE[code] = Explanation(code, error_class, reaction, cause, action)


_CREDENTIAL, _RETRY, _QUOTA = ErrorClass.CREDENTIAL, ErrorClass.RETRY, ErrorClass.QUOTA
_REQUEST, _PERSON, _CONFIG, _DONE = ErrorClass.REQUEST, ErrorClass.PERSON, ErrorClass.CONFIGURATION, ErrorClass.DONE
_SELF = _("Nothing to do: it is tried again by itself.")
_OURS = _("Report it with the request number: the request was built wrongly.")
_RECONNECT = _("Copy the AppID and AppSecret from the WeChat console again.")

# Calls that were not made: the causes of `client`.
_OWN: Final = {
    "QUOTA": Explanation(
        0,
        _QUOTA,
        Reaction.PARK_UNTIL_RESET,
        _("Today's calls of this kind are used up, so WeChat was not asked."),
        _("Wait until midnight, Beijing time, or raise the limit in the WeChat console."),
    ),
    "DISCONNECTED": Explanation(
        0,
        _CONFIG,
        Reaction.PARK_BRAND,
        _("The account is disconnected."),
        _("Connect it again on its page under settings; what waits then goes on."),
    ),
}

_add((-1, -2, -1000), _RETRY, Reaction.RETRY, _("WeChat is busy."), _SELF)
_add((40001, 40014, 42001), _CREDENTIAL, Reaction.REFRESH_TOKEN, _("The access token is no longer valid."), _SELF)
_add(42006, _CREDENTIAL, Reaction.REFRESH_TOKEN, _("The platform's access token is no longer valid."), _SELF)
_add((40002, 41001), _REQUEST, Reaction.PARK_BRAND, _("The request for an access token was incomplete."), _OURS)
_add(
    40003,
    _PERSON,
    Reaction.MARK_OPENID_INVALID,
    _("This OpenID does not belong to the service account."),
    _("Check which account the person follows; synchronise followers."),
)
_add(
    range(40004, 40013),
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("The picture, voice or video cannot be used."),
    _("Upload the file again within its limits."),
)
_add(40007, _REQUEST, Reaction.PARK_CAMPAIGN, _("The uploaded file has expired."), _("Upload the file again."))
_add(40013, _CONFIG, Reaction.PARK_BRAND, _("The AppID is wrong."), _RECONNECT)
_add(
    (*range(40015, 40029), 40119, 40120),
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("The menu is built wrongly."),
    _("Check names, keys and links of the buttons."),
)
_add(
    (40029, 40163, 42002, 42003, 42007, 40030),
    _REQUEST,
    Reaction.NONE,
    _("The sign-in code has expired or was used."),
    _("Open the page again."),
)
_add((40031, 40032), _REQUEST, Reaction.NONE, _("The list of OpenIDs is wrong or too long."), _OURS)
_add((40033, 47002), _REQUEST, Reaction.PARK_CAMPAIGN, _("The text was encoded wrongly."), _OURS)
_add((40035, 40097, 47001, 41011, 40101), _REQUEST, Reaction.PARK_CAMPAIGN, _("A field is missing or wrong."), _OURS)
_add(
    (40036, 40037),
    _CONFIG,
    Reaction.PARK_CAMPAIGN,
    _("The account does not have this template any more."),
    _("Synchronise templates and choose another one."),
)
_add(
    (40048, 40054, 40055, 40066),
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("The link is not allowed."),
    _("Use a link under a domain registered in the WeChat console."),
)
_add((40091, 61005, 61006, 61058), _RETRY, Reaction.RETRY, _("The platform's ticket has expired."), _SELF)
_add(
    (40118, 40121),
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("The uploaded file is of the wrong kind."),
    _("Choose another file."),
)
_add(40125, _CONFIG, Reaction.PARK_BRAND, _("The AppSecret is wrong."), _RECONNECT)
_add(
    40130,
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("A mass send needs at least two people."),
    _("Add people to the audience or use another channel."),
)
_add((40129, 40169), _REQUEST, Reaction.NONE, _("WeChat does not take this scene."), _OURS)
_add(40132, _REQUEST, Reaction.NONE, _("The WeChat ID is wrong."), _("Check the WeChat ID."))
_add(
    40164,
    _CONFIG,
    Reaction.PARK_BRAND,
    _("This server's address is not on the account's IP allow-list."),
    _("Add the address to the IP allow-list in the WeChat console."),
)
_add(
    (40165, 40166, 41030),
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("The mini-program page cannot be opened."),
    _("Link the mini program to the account, or use a published page."),
)
_add(
    40226,
    _PERSON,
    Reaction.NONE,
    _("WeChat's risk control does not let this person sign in."),
    _("Only the person can clear this up with WeChat."),
)
_add(
    40243, _CONFIG, Reaction.PARK_BRAND, _("The AppSecret is frozen."), _("Unfreeze or reset it in the WeChat console.")
)
_add((41002, 41004), _CONFIG, Reaction.PARK_BRAND, _("AppID or AppSecret is missing."), _RECONNECT)
_add((41003, 41005, 41006, 41007, 41008, 41009, 41018, 41021), _REQUEST, Reaction.PARK_CAMPAIGN,
     _("A required field is missing."), _OURS)  # fmt: skip
_add(41028, _REQUEST, Reaction.PARK_CAMPAIGN, _("The form number is wrong or expired."), _OURS)
_add((43001, 43002, 43003), _REQUEST, Reaction.PARK_CAMPAIGN, _("The call was made in the wrong way."), _OURS)
_add(
    43004,
    _PERSON,
    Reaction.MARK_UNFOLLOWED,
    _("The person does not follow the account."),
    _("Leave them out, or hand them to a guide."),
)
_add(
    (43005, 43007),
    _REQUEST,
    Reaction.NONE,
    _("The person has not authorised this."),
    _("Ask the person to authorise it."),
)
_add(
    43019,
    _PERSON,
    Reaction.MARK_BLOCKED,
    _("The person is on the account's blacklist."),
    _("Take them off the blacklist first."),
)
_add(43100, _QUOTA, Reaction.NONE, _("The industry can be changed once a month."), _("Try again next month."))
_add(
    43101,
    _PERSON,
    Reaction.CONSENT_USED,
    _("The person did not allow this notice, or used up the permission."),
    _("Ask for permission again."),
)
_add(
    43102,
    _CONFIG,
    Reaction.PARK_CAMPAIGN,
    _("The template is not one for subscribe notifications."),
    _("Choose a subscribe template."),
)
_add(43104, _CONFIG, Reaction.PARK_BRAND, _("The account may not use this."), _("Apply for it in the WeChat console."))
_add(
    43106,
    _CONFIG,
    Reaction.PARK_CAMPAIGN,
    _("WeChat has blocked adding templates."),
    _("See the notice in the WeChat console."),
)
_add(
    (43116, 48011),
    _CONFIG,
    Reaction.PARK_CAMPAIGN,
    _("WeChat has banned this template."),
    _("Choose another template."),
)
_add(range(44001, 44006), _REQUEST, Reaction.PARK_CAMPAIGN, _("The content is empty."), _("Fill in the content."))
_add(
    range(45001, 45009),
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("The content is too long or too large."),
    _("Shorten the content."),
)
_add(
    45009,
    _QUOTA,
    Reaction.PARK_UNTIL_RESET,
    _("Today's quota is used up."),
    _("It goes on by itself at midnight, Beijing time."),
)
_add(45011, _RETRY, Reaction.PAUSE_MINUTE, _("Too many calls in one minute."), _("It goes on by itself more slowly."))
_add(
    45015,
    _PERSON,
    Reaction.WINDOW_CLOSED,
    _("The time for a reply is over."),
    _("Use a subscribe notification, or wait for the person to write again."),
)
_add(
    (45026, 45027),
    _CONFIG,
    Reaction.PARK_CAMPAIGN,
    _("The account has too many templates, or of another industry."),
    _("Delete templates that are not used."),
)
_add(45028, _QUOTA, Reaction.PARK_UNTIL_RESET, _("No mass sends are left."), _("Wait for the next period."))
_add(45029, _CONFIG, Reaction.NONE, _("The account has used all its permanent codes."), _("Use temporary codes."))
_add(
    45047,
    _PERSON,
    Reaction.WINDOW_CLOSED,
    _("No more replies are allowed until the person writes again."),
    _("Use a subscribe notification, or wait for the person to write again."),
)
_add(
    (45056, 45059),
    _REQUEST,
    Reaction.NONE,
    _("WeChat's limit for tags is reached."),
    _("Delete a tag that is not used."),
)
_add(
    45057,
    _REQUEST,
    Reaction.NONE,
    _("More than 100,000 followers carry the tag, and WeChat deletes no such tag."),
    _("Take it off them in WeChat's console first."),
)
_add(45058, _REQUEST, Reaction.NONE, _("The tag is one of WeChat's own and stays."), _("Choose another tag."))
_add((45060, 48005), _REQUEST, Reaction.NONE, _("The file is used in a menu or reply."), _("Remove it there first."))
_add(
    45064,
    _CONFIG,
    Reaction.NONE,
    _("The menu opens a mini program that is not linked."),
    _("Link the mini program first."),
)
_add(45065, _DONE, Reaction.NONE, _("The same message was accepted before."), _("Nothing to do."))
_add(45066, _RETRY, Reaction.PAUSE_MINUTE, _("The same message was sent again too soon."), _SELF)
_add(45067, _REQUEST, Reaction.PARK_CAMPAIGN, _("The message number is too long."), _OURS)
_add((45072, 45080, 45081), _DONE, Reaction.NONE, _("The typing sign could not be shown."), _("Nothing to do."))
_add((45083, 45084, 45085), _REQUEST, Reaction.NONE, _("The sending speed is wrong."), _("Choose a speed from 0 to 4."))
_add(
    (45087, 45094),
    _CONFIG,
    Reaction.PARK_BRAND,
    _("WeChat has blocked customer-service messages."),
    _("See the notice in the WeChat console."),
)
_add(45103, _CONFIG, Reaction.PARK_CAMPAIGN, _("WeChat has retired this function."), _("Use another channel."))
_add(
    (45157, 45158),
    _REQUEST,
    Reaction.NONE,
    _("The tag's name is taken, too long or not allowed."),
    _("Choose another name."),
)
_add(45159, _REQUEST, Reaction.RETRY, _("WeChat does not know this tag."), _("Synchronise tags."))
_add(45162, _REQUEST, Reaction.PARK_CAMPAIGN, _("The kind of message is not allowed."), _OURS)
_add((45166, 45168), _REQUEST, Reaction.PARK_CAMPAIGN, _("The content breaks WeChat's rules."), _("Change the words."))
_add(46003, _DONE, Reaction.NONE, _("The account has no menu."), _("Publish a menu."))
_add(46004, _PERSON, Reaction.MARK_OPENID_INVALID, _("WeChat does not know this person."), _("Synchronise followers."))
_add(
    47003,
    _REQUEST,
    Reaction.PARK_CAMPAIGN,
    _("A field of the template does not have the required form."),
    _("Correct the field named by WeChat."),
)
_add(
    48001,
    _CONFIG,
    Reaction.PARK_BRAND,
    _("The account does not have this permission."),
    _("Check the verification and the permissions in the WeChat console."),
)
_add(
    48002, _PERSON, Reaction.MARK_BLOCKED, _("The person has turned off messages of the account."), _("Leave them out.")
)
_add(
    48003,
    _CONFIG,
    Reaction.PARK_CAMPAIGN,
    _("The agreement for mass sends has not been accepted."),
    _("Accept it in the WeChat console."),
)
_add(
    48004,
    _CONFIG,
    Reaction.PARK_BRAND,
    _("WeChat has banned this function for the account."),
    _("See the notice in the WeChat console."),
)
_add(48006, _QUOTA, Reaction.NONE, _("The quota was reset too often this month."), _("Try again next month."))
_add(
    48008, _CONFIG, Reaction.PARK_CAMPAIGN, _("The account may not send this kind of message."), _("Use another kind.")
)
_add(
    49003,
    _PERSON,
    Reaction.MARK_OPENID_INVALID,
    _("The OpenID belongs to another account."),
    _("Check which account the person follows."),
)
_add(50001, _REQUEST, Reaction.NONE, _("The person has not authorised this."), _("Ask the person to authorise it."))
_add(
    50002,
    _CONFIG,
    Reaction.PARK_BRAND,
    _("The account is restricted or frozen."),
    _("See the notice in the WeChat console."),
)
_add(50005, _PERSON, Reaction.MARK_UNFOLLOWED, _("The person does not follow the account."), _("Leave them out."))
_add(
    (53500, 53502, 53503, 53504, 53505, 53600),
    _REQUEST,
    Reaction.NONE,
    _("The article cannot be published."),
    _("Publish it in the WeChat console."),
)
_add(53501, _RETRY, Reaction.RETRY, _("Articles are published too often."), _SELF)
_add(
    (61003, 61011, 61023, 61028, 61029),
    _CONFIG,
    Reaction.PARK_BRAND,
    _("The account has not authorised the platform."),
    _("Authorise the account again."),
)
_add(
    (61007, 61016, 61017),
    _CONFIG,
    Reaction.PARK_BRAND,
    _("The account has not granted the platform this permission."),
    _("Authorise again by scanning and leave every permission ticked."),
)
_add(
    61004,
    _CONFIG,
    Reaction.PARK_BRAND,
    _("This server's address is not registered with the platform."),
    _("Register the address in the Open Platform console."),
)
_add(
    (61009, 61010), _REQUEST, Reaction.NONE, _("The authorisation code has expired or was used."), _("Authorise again.")
)
_add((61014, 61015, 61024), _REQUEST, Reaction.PARK_BRAND, _("The wrong kind of access token was used."), _OURS)
_add(
    (*range(61450, 61458), *range(65400, 65418)),
    _REQUEST,
    Reaction.NONE,
    _("The customer-service account cannot do this."),
    _("Check the customer-service account in the WeChat console."),
)
_add(65406, _DONE, Reaction.NONE, _("The customer-service account is there already."), _("Nothing to do."))
_add((61500, 61501), _REQUEST, Reaction.NONE, _("The dates of the report are wrong."), _("Choose a shorter span."))
_add(61503, _RETRY, Reaction.RETRY, _("Yesterday's figures are not ready yet."), _SELF)
_add(65301, _DONE, Reaction.NONE, _("The personalised menu is not there any more."), _("Nothing to do."))
_add(
    (65302, 65303, *range(65304, 65310), 65316, 65317),
    _REQUEST,
    Reaction.NONE,
    _("The personalised menu is built wrongly."),
    _("Publish the default menu first; use at most three outside domains."),
)
_add(65320, _REQUEST, Reaction.NONE, _("Personalised menus can be matched by tag only."), _("Use a tag instead."))
_add((76003, 76021, 76022), _REQUEST, Reaction.NONE, _("The quota of this function cannot be read."), _OURS)
_add(87009, _REQUEST, Reaction.NONE, _("The signature of the session is wrong."), _("Sign in again."))
_add(
    range(88000, 88012),
    _REQUEST,
    Reaction.NONE,
    _("The comments of the article cannot be changed."),
    _("Check the article in the WeChat console."),
)
_add(
    range(89000, 89005),
    _REQUEST,
    Reaction.NONE,
    _("The Open Platform binding cannot be changed."),
    _("Check the binding in the Open Platform console."),
)
_add(
    (89501, 89503, 89506, 89507),
    _CONFIG,
    Reaction.PARK_BRAND,
    _("WeChat wants an administrator to confirm this server."),
    _("Confirm the request in the administrator's WeChat."),
)
_add(
    range(200011, 200022),
    _REQUEST,
    Reaction.NONE,
    _("The subscribe template cannot be added."),
    _("Check its keywords; an account has room for 25."),
)
