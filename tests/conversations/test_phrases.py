"""Keywords of unmatched messages: each message counts once, what rules capture is left out."""

from hypothesis import given
from hypothesis import strategies as st

from conversations.phrases import clusters, countable


def test_the_keyword_most_messages_share_comes_first():
    phrases = {"停车场在哪": 4, "可以停车吗": 2, "停车收费吗": 1, "wifi密码": 3, "wifi 密码多少": 1, "发票": 1}

    assert [(each.keyword, each.count) for each in clusters(phrases)] == [("停车", 7), ("wifi", 4)]


def test_a_longer_keyword_is_preferred_when_it_means_the_same_messages():
    assert clusters({"会员积分怎么查": 3, "会员积分兑换": 3})[0].keyword == "会员积分"


def test_what_rules_capture_is_not_suggested():
    found = clusters({"停车场在哪": 3, "停车收费": 3}, taken=lambda keyword: "停" in keyword)
    assert [each.keyword for each in found] == []


@given(st.dictionaries(st.text("停车费会员a1 ", max_size=6).map(countable), st.integers(1, 9), max_size=12))
def test_no_message_counts_twice_and_every_example_has_the_keyword(phrases):
    found = clusters(phrases, least=1)

    assert sum(each.count for each in found) <= sum(phrases.values())
    for each in found:
        assert each.examples
        assert all(each.keyword in text for text in each.examples)


def test_only_so_many_phrases_are_looked_at_as_a_week_is_judged_by():
    asked = []
    phrases = {f"停车{number}": number + 1 for number in range(5_000)}
    (found,) = clusters(phrases, taken=lambda text: asked.append(text) or text == "停车4999")

    assert asked == [f"停车{number}" for number in range(4_999, 2_998, -1)]  # what was written most often, first
    assert found.count == sum(range(3_000, 5_000))
