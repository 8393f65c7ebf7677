"""Menus (reference: service account 5.4)."""

from __future__ import annotations

from typing import Any

from wechat_simulator import menus
from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import ConditionalMenu


@api("POST", "/cgi-bin/menu/create", raw_text=True)
def create(call: Call) -> dict[str, Any]:
    """Replace the whole default menu."""
    allowed = call.sim.world.mini_programs_of(call.account)
    call.account.menu = menus.check_buttons(call.json().get("button"), allowed)
    call.sim.bus.bump("menu", appid=call.account.appid)
    return ok()


@api("GET", "/cgi-bin/menu/get")
def get(call: Call) -> dict[str, Any]:
    """Default and conditional menus; 46003 when there is none."""
    if call.account.menu is None:
        raise WeChatError(46003)
    answer: dict[str, Any] = {"menu": {"button": call.account.menu}}
    if call.account.conditional:
        answer["conditionalmenu"] = [
            {"button": menu.buttons, "matchrule": menu.matchrule, "menuid": menu.menuid}
            for menu in reversed(call.account.conditional)
        ]
    return answer


@api("GET", "/cgi-bin/menu/delete")
def delete(call: Call) -> dict[str, Any]:
    """The default menu and all conditional ones."""
    call.account.menu = None
    call.account.conditional.clear()
    call.sim.bus.bump("menu", appid=call.account.appid)
    return ok()


@api("GET", "/cgi-bin/get_current_selfmenu_info")
def current(call: Call) -> dict[str, Any]:
    """The menu as the console shows it: sub-buttons in a ``list``."""
    buttons = []
    for button in call.account.menu or []:
        subs = button.get("sub_button")
        buttons.append({**button, "sub_button": {"list": subs}} if subs else button)
    return {"is_menu_open": int(call.account.menu is not None), "selfmenu_info": {"button": buttons}}


@api("POST", "/cgi-bin/menu/addconditional", raw_text=True)
def add_conditional(call: Call) -> dict[str, Any]:
    """A menu for people of a tag; a default menu must exist (65303)."""
    data = call.json()
    account = call.account
    if account.menu is None:
        raise WeChatError(65303)
    buttons = menus.check_buttons(data.get("button"), call.sim.world.mini_programs_of(account))
    rule = menus.check_rule(data.get("matchrule"), account, platforms=call.sim.switches.match_client_platform)
    menu = ConditionalMenu(account.next_menuid, buttons, rule)
    account.next_menuid += 1
    account.conditional.append(menu)
    call.sim.bus.bump("menu", appid=account.appid)
    return {"menuid": str(menu.menuid)}


@api("POST", "/cgi-bin/menu/delconditional")
def delete_conditional(call: Call) -> dict[str, Any]:
    """By menuid; 65301 when there is none."""
    wanted = str(call.json().get("menuid", ""))
    kept = [menu for menu in call.account.conditional if str(menu.menuid) != wanted]
    if len(kept) == len(call.account.conditional):
        raise WeChatError(65301)
    call.account.conditional = kept
    call.sim.bus.bump("menu", appid=call.account.appid)
    return ok()


@api("POST", "/cgi-bin/menu/trymatch")
def try_match(call: Call) -> dict[str, Any]:
    """What a person would get."""
    fan = call.fan(call.json().get("user_id"), 65302)
    if call.account.menu is None:
        raise WeChatError(46003)
    return {"button": menus.menu_for(fan)[0]}
