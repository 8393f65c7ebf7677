"""A POST that is sent again does no more than once: it carries a key, or says why it needs none."""

from __future__ import annotations

from tests.api.contract import description

# POSTs without a key of the caller's, and why a second one changes nothing.
NEEDS_NO_KEY = {
    "accept_invitation": "somebody came by one invitation; the same code again gives it as it stands",
    "ask_about_data": "one open request of a kind: asked again it is the one that is there",
    "add_media": "the same bytes are the same file",
    "ask_for_counter_code": "within a minute the first message stands; later ones are counted and limited",
    "ask_for_sms_code": "within a minute the first message stands; later ones are counted and limited",
    "bind_phone": "WeChat's code counts once; the phone is bound already",
    "check_member_coupons": "reads only",
    "check_own_coupons": "reads only",
    "end_identity": "ended once; again nothing is linked",
    "fetch_data_copy": "handed out once; a second time there is nothing",
    "flag_member": "a flag is set or not",
    "join_at_counter": "the code is spent once; sent again by the same system it gives who joined",
    "join_by_sms": "the code is spent once; sent again by the same session it gives the card",
    "link_identity": "a member is known by a thing or not; again it is linked already",
    "make_invitation_picture": "the picture that works; a new one takes its place when it is nearly over",
    "open_session": "WeChat's code counts once",
    "preview_segment": "reads only",
    "record_guide_contact": "a contact of a guide is kept once; told again it gives how it stands",
    "record_scene_opening": "the id of the opening is the caller's own",
    "report_fact": "system, kind and number name the fact",
    "report_sign": "somebody was seen with a thing or not; again only when is newer",
    "set_tier_coupon": "a tier gives a coupon so often or not",
    "show_counter_code": "shows the code that runs; a later one takes its place",
    "sign_page": "reads only",
    "start_import": "an import starts once; again it gives how it stands",
    "state_consent": "the same statement as the one in force is not written again",
    "stop_coupon_push": "stopped once; again it gives how it stands",
    "stop_import": "an import is stopped once; again it gives how it stands",
    "tag_member": "tags are there or not",
    "undo_import": "an import is undone once; again it gives how it stands",
}


def posts():
    """Every POST of the API with what its body must have and what headers it takes."""
    described = description()
    for path, operations in described["paths"].items():
        operation = operations.get("post")
        if operation is None:
            continue
        sent = operation.get("requestBody", {}).get("content", {})
        names = [each["schema"]["$ref"].rpartition("/")[2] for each in sent.values()]
        needed = {field for name in names for field in described["components"]["schemas"][name].get("required", ())}
        headers = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "header"}
        yield path, operation["operationId"], needed, headers


def test_every_post_carries_a_key_or_is_declared_harmless_when_repeated():
    missing, stale = {}, set(NEEDS_NO_KEY)
    for path, name, needed, headers in posts():
        carries = "key" in needed or "Idempotency-Key" in headers
        if not carries and name not in NEEDS_NO_KEY:
            missing[name] = path
        if not carries:
            stale.discard(name)
    assert missing == {}
    assert stale == set()  # nothing is declared that carries a key, or is no longer there
