"""How long choosing an answer takes: 10,000 keyword rules over 200 brands, compiled as the gateway compiles them.

`python -m launcher around -- python -m benchmarks.replies` (no connection is used; the settings must be there).
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

BRANDS, RULES_EACH, ASKED = 200, 50, 20_000
AT = datetime(2025, 6, 1, tzinfo=UTC)
WORDS = "预约 营业 时间 几点 开门 停车 会员 积分 退货 发票 尺码 门店 地址 活动 生日 礼盒 快递 售后 优惠 兑换".split()


def main() -> None:
    """Print microseconds of processor time per message: what the loop of the gateway loses."""
    django.setup()
    from conversations.audiences import Audience
    from conversations.engine import Asked, Facts, Rules, compile_rules
    from conversations.models import ReplyRule

    choose = random.Random(11)

    def rule(number: int) -> ReplyRule:
        match = choose.choices(["EXACT", "PREFIX", "CONTAINS", "REGEX"], [50, 15, 30, 5])[0]
        words = ["".join(choose.sample(WORDS, 2)) + str(choose.randrange(100)) for _ in range(3)]
        if match == "REGEX":
            words = [f"^{words[0]}\\d*(吗|呢)?$"]
        return ReplyRule(
            pk=number + 1, name=str(number), trigger="KEYWORD", match=match, keywords=words, text="x", position=number
        )

    started = time.perf_counter()
    books: list[Rules] = []
    for _brand in range(BRANDS):
        rows = [rule(number) for number in range(RULES_EACH)]
        rows[0].audience_kind, rows[0].audience_id = "tag", 1
        audiences = {Audience("tag", 1): 1}
        rows.append(ReplyRule(pk=999, name="default", trigger="DEFAULT", text="x", position=999))
        books.append(compile_rules(rows, audiences=audiences))
    compiled = time.perf_counter() - started
    keywords = [list(book.exact) for book in books]

    def message(hit: bool) -> tuple[Rules, str]:
        number = choose.randrange(BRANDS)
        if hit and keywords[number]:
            return books[number], choose.choice(keywords[number])
        return books[number], "我想问一下" + "".join(choose.sample(WORDS, 3)) + "可以吗"

    def measure(name: str, ask: Callable[[Rules, Asked], object], *, hit: bool) -> None:
        asked = [(book, Asked("KEYWORD", AT, text=text)) for book, text in (message(hit) for _ in range(ASKED))]
        spent = []
        for book, question in asked:
            begun = time.thread_time_ns()
            ask(book, question)
            spent.append((time.thread_time_ns() - begun) / 1000)
        cuts = statistics.quantiles(spent, n=100)
        print(f"{name:28} p50 {cuts[49]:7.1f} µs   p99 {cuts[98]:7.1f} µs   mean {statistics.mean(spent):7.1f} µs")

    facts = Facts(holds=frozenset({Audience("tag", 1)}))
    print(f"{BRANDS} brands x {RULES_EACH} rules compiled in {compiled * 1000:.0f} ms, Python {sys.version.split()[0]}")
    measure("an exact keyword", lambda book, asked: book.decide(asked), hit=True)
    measure("nothing captures, the default", lambda book, asked: book.decide(asked), hit=False)
    measure("with the facts of a person", lambda book, asked: book.decide(asked, facts), hit=True)


if __name__ == "__main__":
    main()
