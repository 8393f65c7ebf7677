"""What a search finds: Chinese by pairs of characters, words by their beginnings."""

import pytest

from inbox.words import grams, wanted


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("退货", "我想退货，怎么办", True),
        ("货怎", "我想退货，怎么办", False),  # a comma stands between them
        ("退", "我想退货", True),
        ("换货", "我想退货，想换颜色", False),
        ("iPhone15", "买了ＩＰＨＯＮＥ15的壳", True),  # full width, other case
        ("ipho", "iPhone15", True),
        ("hone", "iPhone15", False),
        ("静安 退货", "静安店能退货吗", True),
    ],
)
def test_words_of_a_search_are_among_those_of_a_text(term, text, found):
    assert bool(wanted(term)) is True
    assert (set(wanted(term)) <= set(grams(text))) is found


def test_a_search_without_letters_wants_nothing():
    assert wanted("，。！") == []


def test_a_long_text_is_found_by_its_beginning_only():
    assert len(grams("字" * 5000 + "尾巴")) == 2
