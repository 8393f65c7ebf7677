"""Live checks of a connection: each asks WeChat (or ourselves) one thing and says what it found.

Never inside a transaction.

@check("members.same_subject", _("One person is one member"), rank=95)
def same_subject(run: Run) -> Finding: ...
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import brand_scope
from common import clock
from common.registry import Registry
from wechat_gateway import calls, pulse, quotas, tokens, transport
from wechat_gateway.answers import Answer, Outcome
from wechat_gateway.client import CUSTOM_SEND, TEMPLATE_SEND, call
from wechat_gateway.errcodes import explain
from wechat_gateway.incidents import PERMISSION_CODES
from wechat_gateway.models import CheckResult, MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

App: TypeAlias = OfficialAccount | MiniProgram

_ADDRESS: Final = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f:]{6,39}")
_NOT_LISTED: Final = frozenset({40164, 61004})
_UNKNOWN_ADDRESS: Final = 403
_LEARNS_SECONDS: Final = 1.5
_ASKED_FOR_QUOTA: Final = (TEMPLATE_SEND, CUSTOM_SEND)
# What a brand's work needs, and a harmless call that shows whether it is allowed.
_PERMISSIONS: Final = {
    "users": "/cgi-bin/user/get",
    "menus": "/cgi-bin/menu/get",
    "templates": "/cgi-bin/template/get_all_private_template",
}
PERMISSION_LABELS: Final = {"users": _("followers and tags"), "menus": _("custom menus"), "templates": _("templates")}


# Permission sets of the third-party platform (reference: 7.6), and those a brand's work needs.
SETS: Final = {
    1: _("receiving and answering messages"),
    2: _("followers and tags"),
    3: _("codes"),
    4: _("web pages"),
    6: _("customer service"),
    7: _("mass sends and notices"),
    11: _("media"),
    15: _("custom menus"),
    24: _("Open Platform account"),
    89: _("subscribe notifications"),
}
NEEDED_SETS: Final = (1, 2, 3, 4, 7, 11, 15, 89)


@dataclass(frozen=True, slots=True)
class Finding:
    """How a check ended. `reason` is a key of `REASONS`, `fact` what was seen (no sentence: it is not translated)."""

    result: CheckResult
    code: int | None = None
    reason: str = ""
    fact: str = ""


@dataclass(slots=True)
class Run:
    """One round of checks of an app. What several checks need is asked once."""

    app: App
    at: datetime
    known: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, ask: Callable[[], Answer]) -> Answer:
        """The answer to a question, asked by whichever check needs it first."""
        if key not in self.known:
            self.known[key] = ask()
        found: Answer = self.known[key]
        return found

    @property
    def credentials(self) -> Answer:
        """What WeChat says to AppID and AppSecret."""
        return self.once("token", lambda: tokens.ask(self.app, at=self.at))

    def ask(self, path: str, payload: dict[str, Any] | None = None) -> Answer:
        """One call with the app's token; not made when there can be none."""
        if not self.credentials.ok:
            return Answer(Outcome.NOT_SENT, cause="NO_TOKEN")
        key = f"{path} {payload}"
        return self.once(key, lambda: call(self.app, path, payload, at=self.at))


CheckFunction: TypeAlias = Callable[[Run], Finding]


@dataclass(frozen=True)
class Check:
    """A check with the words it is shown with."""

    key: str
    label: StrOrPromise
    run: CheckFunction
    rank: int
    of_programs: bool
    of_authorised: bool | None


checks: Registry[CheckFunction] = Registry(
    "connection checks", purpose="what is looked at when a connection is checked"
)
_checks: dict[str, Check] = {}


def check(
    key: str,
    label: StrOrPromise,
    *,
    rank: int = 100,
    of_programs: bool = False,
    of_authorised: bool | None = None,
) -> Callable[[CheckFunction], CheckFunction]:
    """Make the function a check of service accounts, and of mini programs with `of_programs`; lowest rank first.

    `of_authorised` keeps it to accounts that came through the third-party platform, or to those with own keys.
    """

    def register(function: CheckFunction) -> CheckFunction:
        checks.register(key, function)
        _checks[key] = Check(key, label, function, rank, of_programs, of_authorised)
        return function

    return register


def checks_of(app: App) -> list[Check]:
    """The checks of a kind of app, in order."""
    authorised = tokens.is_authorised(app)
    chosen = [
        each
        for each in _checks.values()
        if (each.of_programs or isinstance(app, OfficialAccount)) and each.of_authorised in (None, authorised)
    ]
    return sorted(chosen, key=lambda each: (each.rank, each.key))


def label_of(key: str) -> StrOrPromise:
    """The words of a check; of one that is gone its key."""
    known = _checks.get(key)
    return known.label if known else key


#: Why a check failed where no code of WeChat says it: (why, what to do).
REASONS: Final[dict[str, tuple[StrOrPromise, StrOrPromise]]] = {
    "FIRST": (_("The checks above have to pass first."), ""),
    "NO_ANSWER": (
        _("WeChat gave no usable answer."),
        _("Check again in a minute; if it stays, look at the network of the server."),
    ),
    "OWN_ADDRESS": (
        _("Our own address does not answer as it should."),
        _("Whoever runs the installation looks at the gateway and at ZHIYIN_PUBLIC_URL."),
    ),
    "NO_HTTPS": (
        _("WeChat takes addresses on port 80 or 443 only."),
        _("Whoever runs the installation gives the gateway a public address."),
    ),
    "WAITING": (
        _("WeChat has not come to this address yet."),
        _("Save the server configuration in WeChat's console, or send the account a message from a phone."),
    ),
    "SIGNATURE": (
        _("WeChat came, but signs with another token."),
        _("Copy the token from WeChat's console, or enter the one stored here there, and save it again."),
    ),
    "APPID": (
        _("WeChat came, but encrypts with another message key, or for another AppID."),
        _("Copy the message key (EncodingAESKey) from WeChat's console again."),
    ),
    "ORIGINAL_ID": (
        _("Pushes of another account came to this address."),
        _("Compare the original id with WeChat's console; each account has an address of its own."),
    ),
    "ENVELOPE": (
        _("WeChat came with another message encryption than is set here."),
        _("Set the same message encryption here and in WeChat's console; safe mode is best."),
    ),
    "UNREACHED": (
        _("WeChat's own check finds no way to our address."),
        _("Whoever runs the installation looks at the name's DNS record, the firewall and the line to the server."),
    ),
    "TIMESTAMP": (
        _("WeChat came with a time that is minutes off ours."),
        _("Whoever runs the installation sets the clock of the server."),
    ),
    "REFUSED": (
        _("WeChat came with something that could not be verified."),
        _("Compare address, token and message key with WeChat's console and save them there again."),
    ),
    "SILENT": (
        _("WeChat's pushes came every day, and none has come for a day."),
        _("Look in WeChat's console whether the server configuration is still enabled, then check again."),
    ),
    "NOT_GRANTED": (
        _("The administrator has not granted everything, or granted it before it was asked for."),
        _("Authorise again by scanning and leave every permission ticked."),
    ),
    "NO_FOLLOWERS": (
        _("Nobody follows the account yet, so that there is nobody to look at."),
        _("Follow it with your own phone, then check again."),
    ),
    "NO_UNIONID": (
        _("WeChat gives no UnionID: the account is bound to no Open Platform account."),
        _("Bind the service account and the mini programs to one account on open.weixin.qq.com."),
    ),
    "NO_SUBJECT": (
        _("WeChat gives UnionIDs, but no Open Platform account is named here."),
        _("Name the Open Platform account, so that a person is one member in all accounts of it."),
    ),
    "UNNAMED": (
        _("No Open Platform account is named here."),
        _("Name the Open Platform account, so that a person is one member in all accounts of it."),
    ),
    "OTHER_SUBJECT": (
        _("These apps of the brand belong to another Open Platform account, so that one person has two UnionIDs."),
        _("Bind all of them to one account on open.weixin.qq.com. Until then people merge by phone number only."),
    ),
    "SUBJECT_MISSING": (
        _("These apps of the brand name no Open Platform account: whether a person has one UnionID is not known."),
        _("Name it on the page of each."),
    ),
    "NO_TEMPLATES": (
        _("The account has no message template yet."),
        _("Add a template in WeChat's console, under template messages."),
    ),
    "USED_UP": (
        _("Today's quota is used up."),
        _("It goes on by itself at midnight, Beijing time."),
    ),
}


def words_of(code: int | None, reason: str) -> tuple[StrOrPromise, StrOrPromise]:
    """(why, what to do) of a finding."""
    if reason in REASONS:
        return REASONS[reason]
    if code:
        # Asked for a token, WeChat says 40001 to a wrong secret (reference: service account 5.1).
        known = explain(40125 if code == 40001 else code)
        return known.cause, known.action
    return REASONS["NO_ANSWER"] if reason else ("", "")


# -- what is checked --------------------------------------------------------------------------------------------------


@check("ip_list", _("This server is on the IP allow-list"), rank=10, of_programs=True)
def ip_list(run: Run) -> Finding:
    """WeChat looks at the address before the secret; it names the one it saw."""
    answer = run.credentials
    if answer.code in _NOT_LISTED:
        found = _ADDRESS.search(answer.message)
        return Finding(CheckResult.FAILED, answer.code, fact=found[0] if found else "")
    if answer.ok or answer.code in {40001, 40125, 40243, 50002}:
        return Finding(CheckResult.PASSED)
    return _not_known(answer)


@check("credentials", _("AppID and AppSecret are valid"), rank=20, of_programs=True)
def credentials(run: Run) -> Finding:
    """Ask for a token; WeChat gives the same one again, so that asking disturbs nobody."""
    answer = run.credentials
    if answer.ok:
        return Finding(CheckResult.PASSED)
    if answer.code in _NOT_LISTED:
        return Finding(CheckResult.UNKNOWN, reason="FIRST")
    return _refused(answer)


@check("address", _("Our address answers"), rank=30, of_authorised=False)
def address(run: Run) -> Finding:
    """Ask our own callback address as WeChat does when it verifies it; a gateway hears of a new account in a second."""
    account = run.app
    assert isinstance(account, OfficialAccount)  # noqa: S101 - not a check of mini programs
    url = f"{settings.PUBLIC_URL.rstrip('/')}/wx/{account.path_token}"
    echo = str(secrets.randbelow(10**18))
    timestamp, nonce = str(int(clock.timestamp())), f"{pulse.OWN_NONCE}{secrets.randbelow(10**9)}"
    token = account.callback_token.reveal() if account.callback_token else ""
    signed = sha1("".join(sorted((token, timestamp, nonce))).encode(), usedforsecurity=False).hexdigest()
    query = urlencode({"signature": signed, "timestamp": timestamp, "nonce": nonce, "echostr": echo})
    request = transport.HttpRequest(f"{url}?{query}", repeatable=True, total_seconds=4.0)
    exchange = transport.perform(request)
    if exchange.status == _UNKNOWN_ADDRESS:
        time.sleep(_LEARNS_SECONDS)
        exchange = transport.perform(request)
    if exchange.error or exchange.status != 200 or exchange.body != echo.encode():
        return Finding(CheckResult.FAILED, reason="OWN_ADDRESS", fact=exchange.error or f"HTTP {exchange.status}")
    parts = urlsplit(url)
    if settings.IS_PRODUCTION and (parts.scheme, parts.port) not in {("https", None), ("https", 443), ("http", None)}:
        return Finding(CheckResult.FAILED, reason="NO_HTTPS", fact=f"{parts.scheme}:{parts.port or ''}")
    return Finding(CheckResult.PASSED, fact=parts.netloc)


def reach(account: OfficialAccount, *, at: datetime) -> Finding:
    """Knock at our own address, then let WeChat do so: what shows a door that nobody comes through any more.

    WeChat looks the name up and pings it (reference: service account 5.1); it does not try address, token or key.
    """
    own = address(Run(account, at))
    if own.result == CheckResult.FAILED:
        return own
    answer = calls.check_callback(account, at=at)
    if not answer.ok:
        return _not_known(answer)
    if answer.data.get("dns") == []:  # that nothing answers its pings says nothing: many networks drop them
        return Finding(CheckResult.FAILED, reason="UNREACHED", fact=own.fact)
    return Finding(CheckResult.PASSED, fact=own.fact)


@check("callback", _("WeChat's pushes arrive and are authentic"), rank=40)
def callback(run: Run) -> Finding:
    """What came last to the account's address."""
    return callback_finding(run.app)


def callback_finding(app: App) -> Finding:
    """What came last to an account's address; cheap enough to ask while somebody looks."""
    who = (app.brand_id, app.pk)
    seen = pulse.read([who])[who]
    if seen.is_refused:
        return Finding(CheckResult.FAILED, reason=seen.reason if seen.reason in REASONS else "REFUSED")
    if seen.verified_at is None:
        return Finding(CheckResult.UNKNOWN, reason="WAITING")
    return Finding(CheckResult.PASSED, fact=seen.verified_at.isoformat(timespec="seconds"))


@check("permissions", _("The account has the permissions it needs"), rank=50)
def permissions(run: Run) -> Finding:
    """Make one harmless call for each."""
    missing: list[str] = []
    code: int | None = None
    for name, path in _PERMISSIONS.items():
        answer = run.ask(path)
        if answer.code in PERMISSION_CODES:
            missing.append(name)
            code = answer.code
        elif not answer.ok:
            return _not_known(answer)
    if missing:
        return Finding(CheckResult.FAILED, code, fact=",".join(missing))
    return Finding(CheckResult.PASSED)


@check("granted", _("What the platform needs has been granted"), rank=25, of_authorised=True)
def granted(run: Run) -> Finding:
    """Compare the granted permission sets with those a brand's work needs."""
    account = run.app
    assert isinstance(account, OfficialAccount)  # noqa: S101 - not a check of mini programs
    missing = [number for number in NEEDED_SETS if number not in account.granted_sets]
    if account.revoked_at is not None:
        return Finding(CheckResult.FAILED, 61003)
    if missing:
        return Finding(CheckResult.FAILED, reason="NOT_GRANTED", fact=",".join(str(number) for number in missing))
    return Finding(CheckResult.PASSED)


@check("unionid", _("People have a UnionID, and the Open Platform account is named"), rank=60)
def unionid(run: Run) -> Finding:
    """Look at one follower."""
    listed = run.ask("/cgi-bin/user/get")
    if not listed.ok:
        return _not_known(listed)
    data = listed.data.get("data")
    openids = data.get("openid") if isinstance(data, dict) else None
    if not isinstance(openids, list) or not openids:
        return Finding(CheckResult.UNKNOWN, reason="NO_FOLLOWERS")
    account = run.app
    assert isinstance(account, OfficialAccount)  # noqa: S101 - not a check of mini programs
    person = run.once("person", lambda: calls.get_user(account, str(openids[0]), at=run.at))
    if not person.ok:
        return _not_known(person)
    if not person.data.get("unionid"):
        return Finding(CheckResult.FAILED, reason="NO_UNIONID")
    if not account.open_platform_subject:
        return Finding(CheckResult.FAILED, reason="NO_SUBJECT")
    return Finding(CheckResult.PASSED, fact=account.open_platform_subject)


@check("same_subject", _("All apps of the brand share one Open Platform account"), rank=65, of_programs=True)
def same_subject(run: Run) -> Finding:
    """Compare the subject with those of the brand's other apps; asks nobody."""
    app = run.app
    if not app.open_platform_subject:
        return Finding(CheckResult.UNKNOWN, reason="UNNAMED")
    with brand_scope(app.brand_id):
        others = [
            (row.name or row.appid, row.open_platform_subject.strip())
            for model in (OfficialAccount, MiniProgram)
            for row in model.objects.filter(is_active=True).order_by("pk")
            if row.appid != app.appid
        ]
    differing = [name for name, subject in others if subject and subject != app.open_platform_subject.strip()]
    silent = [name for name, subject in others if not subject]
    if differing:
        return Finding(CheckResult.FAILED, reason="OTHER_SUBJECT", fact=_named(differing))
    if silent:
        return Finding(CheckResult.UNKNOWN, reason="SUBJECT_MISSING", fact=_named(silent))
    return Finding(CheckResult.PASSED, fact=app.open_platform_subject[:200])


def _named(names: list[str]) -> str:
    return " · ".join(name[:60] for name in names)[:200]


@check("templates", _("The template library can be read"), rank=70)
def templates(run: Run) -> Finding:
    """Read the account's templates."""
    answer = run.ask("/cgi-bin/template/get_all_private_template")
    if answer.code in PERMISSION_CODES:
        return _refused(answer)
    if not answer.ok:
        return _not_known(answer)
    found = answer.data.get("template_list")
    if not isinstance(found, list) or not found:
        return Finding(CheckResult.UNKNOWN, reason="NO_TEMPLATES")
    return Finding(CheckResult.PASSED, fact=str(len(found)))


@check("quota", _("There is quota left today"), rank=80)
def quota(run: Run) -> Finding:
    """Ask WeChat for its own count and keep it."""
    facts: list[str] = []
    # What WeChat has said to be used up is asked for, too: its own count lifts the block.
    blocked = quotas.blocked_paths(brand_id=run.app.brand_id, appid=run.app.appid, at=run.at)
    for path in dict.fromkeys((*_ASKED_FOR_QUOTA, *blocked)):
        answer = run.ask("/cgi-bin/openapi/quota/get", {"cgi_path": path})
        told = answer.data.get("quota")
        if not answer.ok or not isinstance(told, dict):
            return _not_known(answer)
        limit, used = told.get("daily_limit"), told.get("used")
        if type(limit) is not int or type(used) is not int:
            return Finding(CheckResult.UNKNOWN, reason="NO_ANSWER")
        quotas.told(brand_id=run.app.brand_id, appid=run.app.appid, api=path, limit=limit, used=used, at=run.at)
        facts.append(f"{used:,}/{limit:,}")
        if limit and used >= limit:
            return Finding(CheckResult.FAILED, 45009, "USED_UP", fact=path)
    return Finding(CheckResult.PASSED, fact=" · ".join(facts))


def _refused(answer: Answer) -> Finding:
    if answer.code:
        return Finding(CheckResult.FAILED, answer.code, fact=answer.message.partition(" rid:")[0][:150])
    return Finding(CheckResult.UNKNOWN, reason="NO_ANSWER", fact=answer.cause)


def _not_known(answer: Answer) -> Finding:
    if answer.cause == "NO_TOKEN":
        return Finding(CheckResult.UNKNOWN, reason="FIRST")
    if answer.code:
        return Finding(CheckResult.UNKNOWN, answer.code, fact=answer.message.partition(" rid:")[0][:150])
    return Finding(CheckResult.UNKNOWN, reason="NO_ANSWER", fact=answer.cause)
