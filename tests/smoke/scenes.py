"""Scenes about records: two that are one person, people who are left out, tables taken back, data that is old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.smoke.stage import Operator, Stage, plain

if TYPE_CHECKING:
    from tests.smoke.stories.know import Caller


def one_person(stage: Stage, brand: dict[str, Any], operator: Operator, system: Caller) -> None:
    """Two records of one person wait side by side, are merged with their points, and undone: both as before."""
    pair = "Doubt.objects.filter(state='OPEN', one__birth_mmdd=506).values_list('pk', 'one__member_no', 'other__member_no')[0]"
    doubt, one, other = stage.query(brand, f"list({pair})")
    for number, given in ((one, 70), (other, 30)):
        system.post(f"members/{number}/points/earn/", 201, key=f"twins-{number}", points=given, number="TWINS")

    def balances() -> list[int]:
        return [system.get(f"members/{number}/points/")["spendable"] for number in (one, other)]

    before = balances()
    stage.check("points of the two", before, [70, 30])
    shown = plain(operator.get(f"/members/doubt/{doubt}/change/").text)
    stage.holds("side by side", "吴双" in shown and "吴对" in shown and "05-07" in shown, shown[:600])
    operator.post(f"/members/doubt/{doubt}/change/", act="merge", reason="同一位顾客，两次登记")
    merge = stage.query(brand, "MergeRecord.objects.order_by('-pk')[0].pk")
    kept = stage.query(brand, f"MergeRecord.objects.get(pk={merge}).kept.member_no")
    stage.check("one balance", system.get(f"members/{kept}/points/")["spendable"], 100)
    key = stage.query(brand, f"Member.objects.get(member_no='{kept}').pk")
    operator.post(f"/members/identity/{key}/", act="undo", merge=merge, reason="是一对双胞胎")
    stage.check("both as before", balances(), before)
    stage.check("the ledger adds up", stage.query(brand, "breaches()"), [])
    stage.say("吴双、吴对并排比对后合并，积分 70 + 30 = 100；说明是双胞胎后撤销，两人各回 70 与 30，账本平")


def left_out(stage: Stage, system: Caller, number: str) -> None:
    """Somebody who works in the shop earns nothing while flagged, and everything again afterwards."""

    def buys(order: str) -> list[dict[str, Any]]:
        told = system.post(
            "facts/", 201, system="pos", kind="PURCHASE", number=order, member_no=number, amount=10_000,
            lines=[{"sku": "LY-1", "category": "shirts", "amount": 10_000}], happened_at=stage.moment(),
        )  # fmt: skip
        entries: list[dict[str, Any]] = told["entries"]
        return entries

    flags = f"members/{number}/flags/"
    stage.check("flagged", len(system.post(flags, flag="STAFF", on=True, reason="门店店员")["results"]), 1)
    stage.check("earns nothing", buys("STAFF-1"), [])
    stage.check("let in again", system.post(flags, flag="STAFF", on=False, reason="已离职")["results"], [])
    earned = sum(entry["points"] for entry in buys("STAFF-2"))
    stage.holds("earns again", earned > 0, earned)
    stage.say(f"标为店员时买 100 元不给分；取消后同样一单给 {earned} 分")


def linked(stage: Stage, system: Caller, number: str) -> None:
    """A till links a card, again after a broken line, and one that is somebody else's: that waits for a decision."""
    path = f"members/{number}/identities/"
    card = {"kind": "CARD", "value": "LY-260199"}
    said = [system.post(path, **card)["outcome"] for _retry in range(2)]
    stage.check("linked once", said, ["LINKED", "ALREADY_LINKED"])
    other = system.post(path, kind="CARD", issuer="pos", value="88000002")
    stage.check("a card of 周国强", other, {"outcome": "IN_REVIEW", "member_no": number})
    own = [(line["kind"], line["masked"]) for line in system.get(path)["results"] if line["own"]]
    stage.check("shown masked", own, [("CARD", "****199")])
    ended = [system.post(f"{path}end/", **card)["outcome"] for _retry in range(2)]
    stage.check("ended once", ended, ["ENDED", "NOT_LINKED"])
    stage.say("收银关联会员卡：重发不重复；别人的卡不直接关联，转人工核对；自己关联的可以解除")


def what_is_old(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """The retention page says what would go with fewer days, and takes nothing away by saying so."""
    rows = "FactChange.objects.count()"
    before = stage.query(brand, rows)
    page = operator.post("/members/retention/", **{"class": "fact_changes", "days": "90", "act": "try"}).text
    stage.holds("the dry run is shown", 'data-testid="dry-run"' in page, plain(page)[:600])
    stage.check("no rule yet", stage.query(brand, "RetentionRule.objects.count()"), 0)
    stage.holds("nothing is gone", stage.query(brand, rows) >= before)
    stage.say("保留期限：把标签与关注的历史改为 90 天，先试算会清理多少；不点保存就什么也不动")
