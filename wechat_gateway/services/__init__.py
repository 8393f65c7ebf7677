"""Everything that changes the gateway's data, and every call to WeChat."""

from wechat_gateway.client import Outgoing, call, send_many
from wechat_gateway.incidents import close_incident, open_incident
from wechat_gateway.services.accounts import (
    bump_replies_version,
    change_app_secret,
    change_callback_keys,
    change_path,
    connect_mini_program,
    connect_official_account,
    set_active,
    set_subject,
)
from wechat_gateway.services.credentials import refresh_due_tokens, refresh_token, resume_calls
from wechat_gateway.services.health import run_checks, start_checks, watch_brand, watch_health
from wechat_gateway.services.inbox import (
    erase_pushes,
    handle_inbound,
    purge_brand_inbound,
    purge_inbound,
    read_stored,
    replay_push,
    sweep_inbound,
)
from wechat_gateway.services.mini_programs import SignIn, shared_phone, sign_in
from wechat_gateway.services.platform import (
    accept_return,
    ask_for_ticket,
    complete_invitation,
    handle_platform_pushes,
    invite,
    link_of,
    prepare_invitation,
    purge_platform_pushes,
    replay_platform_push,
    revoke_account,
    set_platform,
    watch_platform,
)
from wechat_gateway.services.web_pages import PageSignature, set_js_domains, sign_page

__all__ = [
    "Outgoing",
    "PageSignature",
    "SignIn",
    "accept_return",
    "ask_for_ticket",
    "bump_replies_version",
    "call",
    "change_app_secret",
    "change_callback_keys",
    "change_path",
    "close_incident",
    "complete_invitation",
    "connect_mini_program",
    "connect_official_account",
    "erase_pushes",
    "handle_inbound",
    "handle_platform_pushes",
    "invite",
    "link_of",
    "open_incident",
    "prepare_invitation",
    "purge_brand_inbound",
    "purge_inbound",
    "purge_platform_pushes",
    "read_stored",
    "refresh_due_tokens",
    "refresh_token",
    "replay_platform_push",
    "replay_push",
    "resume_calls",
    "revoke_account",
    "run_checks",
    "send_many",
    "set_active",
    "set_js_domains",
    "set_platform",
    "set_subject",
    "shared_phone",
    "sign_in",
    "sign_page",
    "start_checks",
    "sweep_inbound",
    "watch_brand",
    "watch_health",
    "watch_platform",
]
