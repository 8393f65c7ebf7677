"""Overlaps of keyword rules: every example is captured by both, and where none is shown no message is."""

from datetime import date, time

import pytest
from django.utils import translation
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conversations.engine import compile_rules, rule_of
from conversations.errors import PatternInvalid
from conversations.models import ReplyRule
from conversations.overlaps import JOINED, NEVER, SOME, UNSURE, overlap
from conversations.patterns import check_pattern, compiled, normalised

LETTERS = "约店ab1"


def rule(*words, match="CONTAINS", pk=0, position=100, **more):
    made = rule_of(
        ReplyRule(pk=pk, name="r", trigger="KEYWORD", match=match, keywords=list(words), position=position, **more)
    )
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("one", "other", "example", "share"),
    [
        (("EXACT", "预约"), ("EXACT", "预约"), "预约", NEVER),
        (("EXACT", "预约"), ("CONTAINS", "约"), "预约", SOME),
        (("CONTAINS", "约"), ("EXACT", "预约"), "预约", NEVER),
        (("PREFIX", "排队"), ("PREFIX", "排队 静安"), "排队 静安", NEVER),
        (("PREFIX", "排队"), ("CONTAINS", "静安"), "排队静安", JOINED),
        (("CONTAINS", "营业"), ("CONTAINS", "营业时间"), "营业时间", NEVER),
        (("CONTAINS", "营业"), ("CONTAINS", "预约"), "营业预约", JOINED),
        (("REGEX", r"^\d{4}$"), ("EXACT", "2025"), "2025", NEVER),
        (("REGEX", r"^几点(开门|关门)"), ("CONTAINS", "关门吗"), "几点关门吗", SOME),
    ],
)
def test_examples_and_how_much_is_shared(one, other, example, share):
    found = overlap(rule(*one[1:], match=one[0], pk=1, position=1), rule(*other[1:], match=other[0], pk=2, position=2))

    assert (found.example, found.share, found.winner.pk) == (example, share, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("EXACT", "预约"), ("EXACT", "约")),
        (("EXACT", "约"), ("CONTAINS", "预约")),
        (("PREFIX", "排队"), ("PREFIX", "队")),
        (("REGEX", r"^\d+$"), ("CONTAINS", "约")),
        (("REGEX", r"^a+$"), ("REGEX", r"^b")),
        (("REGEX", r"^.{1,3}$"), ("PREFIX", "营业时间")),
    ],
)
def test_rules_that_share_nothing_do_not_overlap(one, other):
    assert overlap(rule(*one[1:], match=one[0], pk=1), rule(*other[1:], match=other[0], pk=2)) is None


LONG = [
    f"^a{letter * 60}(开门|关门)b{{2}}{'x' * 30}" for letter in "cdef"
]  # together more than one expression may have


def test_many_expressions_of_a_rule_are_compared_as_each_of_them_is():
    for each in LONG:
        check_pattern(each)
    found = overlap(rule(*LONG, match="REGEX", pk=1), rule("^z+$", LONG[2], match="REGEX", pk=2, position=101))
    assert found.example in {f"a{'e' * 60}{what}bb{'x' * 30}" for what in ("开门", "关门")}
    assert overlap(rule(*LONG, match="REGEX", pk=1), rule("^z+$", match="REGEX", pk=2)) is None


def test_long_keywords_are_compared_with_expressions():
    long = "长" * 1_990
    assert overlap(rule(long, "约", pk=1), rule(r"^\d+$", match="REGEX", pk=2)) is None
    assert overlap(rule(long, pk=1), rule("^长", match="REGEX", pk=2)).example == long


@pytest.mark.parametrize("other", ["a（好", "e.{100}f.{90}g.{100}h"])  # one the dialect refuses by now; one too large
def test_what_cannot_be_compared_is_said_and_stops_nothing(other):
    found = overlap(rule("a.{100}b.{100}c.{90}d", match="REGEX", pk=1), rule(other, match="REGEX", pk=2))
    assert (found.share, found.example, found.winner.pk) == (UNSURE, "", 1)


def test_the_rule_before_wins_and_the_older_one_of_equal_place():
    new = rule("预约", match="EXACT", position=10)
    assert overlap(new, rule("预约", match="EXACT", pk=5, position=10)).winner.pk == 5
    assert overlap(new, rule("预约", match="EXACT", pk=5, position=11)).winner is new


def test_rules_that_are_never_on_at_the_same_time_do_not_overlap():
    morning = {"from_time": time(8), "until_time": time(12)}
    assert overlap(rule("约", pk=1, **morning), rule("约", pk=2, from_time=time(12), until_time=time(20))) is None
    assert overlap(rule("约", pk=1, weekdays=[0]), rule("约", pk=2, weekdays=[1, 2])) is None
    assert overlap(rule("约", pk=1, until_date=date(2025, 5, 31)), rule("约", pk=2, from_date=date(2025, 6, 1))) is None
    assert overlap(rule("约", pk=1, **morning), rule("约", pk=2, from_time=time(11), until_time=time(20))) is not None


def test_a_rule_for_some_people_or_some_hours_silences_no_other():
    some = rule("约", pk=1, position=1, audience_kind="tag", audience_id=1)
    assert overlap(rule("预约", pk=2, position=2), some).share == SOME
    night = rule("约", pk=1, position=1, from_time=time(22), until_time=time(2))
    assert overlap(rule("预约", pk=2, position=2), night).share == SOME


PATTERNS = st.recursive(
    st.sampled_from([*LETTERS, ".", r"\d", r"\w", "[ab]", "[^a]", "[0-9约]"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}", "+?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=5,
)
ANCHORED = st.tuples(st.sampled_from(["", "^"]), PATTERNS, st.sampled_from(["", "$"])).map("".join)


@st.composite
def rules(draw):
    match = draw(st.sampled_from(["EXACT", "PREFIX", "CONTAINS", "REGEX", "REGEX"]))
    if match == "REGEX":
        words = [draw(ANCHORED)]
        try:
            check_pattern(words[0])
        except PatternInvalid:
            assume(False)
    else:
        words = draw(st.lists(st.text(LETTERS, min_size=1, max_size=3), min_size=1, max_size=2))
    return rule(*words, match=match, pk=draw(st.integers(1, 9)), position=draw(st.integers(0, 3)))


@settings(max_examples=400)
@given(rules(), rules(), st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=20, max_size=60))
def test_an_example_is_captured_by_both_and_without_one_nothing_is(one, other, sentences):
    assume(one.pk != other.pk)
    found = overlap(one, other)
    both = [each for each in sentences if one.captures(normalised(each)) and other.captures(normalised(each))]

    if found is None:
        assert both == []
    else:
        assert one.captures(normalised(found.example))
        assert other.captures(normalised(found.example))
        if found.share == NEVER:
            first = found.winner
            second = other if first is one else one
            assert [
                each for each in sentences if second.captures(normalised(each)) and not first.captures(normalised(each))
            ] == []


@given(ANCHORED)
@settings(max_examples=300)
def test_the_dialect_is_understood_by_the_matcher(pattern):
    try:
        with translation.override("en"):
            check_pattern(pattern)
    except PatternInvalid as error:
        assert "every message" in error.message  # noqa: PT017 - the only reason these may be refused
        return
    from conversations.overlaps import shared_sentence

    example = shared_sentence(rule(pattern, match="REGEX", pk=1), rule(pattern, match="REGEX", pk=2))
    assert compiled(pattern).search(normalised(example))


@pytest.mark.parametrize(
    "pattern",
    [
        "", "x" * 201, "(", ")", "a)", "[a", "*a", "a**", "a{3,2}", "a{101}", "a{x}", r"(a)\1", "(?=a)b", "(?P<x>a)", r"\bA",
        "a*", ".*", "^$", "()", "（a）", "[z-a]", "a|", "((((((((((((((((((((((a))))))))))))))))))))))",
        "(((a{90}){90}){90})", r"[[:alpha:]]", r"\x41", r"\p{Han}", "^*a",
    ],
)  # fmt: skip
def test_what_is_unsafe_or_captures_everything_is_refused(pattern):
    with pytest.raises(PatternInvalid):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [r"^\d{11}$", "几点(开门|关门)", "(?:vip|VIP)\\s*卡", r"[一-龥]{2,4}店", r"a\.b", "1[3-9]\\d{9}"]
)
def test_what_operators_write_is_taken(pattern):
    check_pattern(pattern)


def test_ten_thousand_rules_are_compiled_and_asked():
    from conversations.engine import Asked
    from tests.factories import AT

    found = [
        ReplyRule(pk=number, name=str(number), trigger="KEYWORD", keywords=[f"词{number}"], text=str(number))
        for number in range(1, 10_001)
    ]
    assert compile_rules(found).decide(Asked("KEYWORD", AT, text="词9999")).rule.pk == 9999
