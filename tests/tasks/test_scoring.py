"""The normal form of texts that are compared, and the two scores of an answer."""

import string
import time
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.scoring import exact_match, normalise, token_f1
from tests.tasks.pairs import PAIRS

ANYTHING = st.text(max_size=12)
MARKED = st.text(st.sampled_from("aB9ßé.,-+#%$*'()/ \u0301\u200b²½"), max_size=12)
"""Short texts of characters that mean something to the normal form."""

PLAIN = st.lists(st.sampled_from(["a", "The", "an", "x", "US", "1000", "b."]), max_size=4)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.kind}: {pair.first!a}")
def test_texts_that_mean_the_same_agree_and_others_differ(pair):
    assert pair.first != pair.second
    assert (normalise(pair.first) == normalise(pair.second)) is pair.same
    assert exact_match(pair.first, ["?!", pair.second]) is pair.same
    assert exact_match(pair.second, [pair.first]) is pair.same


def test_the_table_has_many_pairs_of_many_kinds():
    assert len({frozenset(pair[2:]) for pair in PAIRS}) == len(PAIRS) >= 300
    for same in (True, False):
        assert len([pair for pair in PAIRS if pair.same is same]) >= 100
    assert min(Counter(pair.kind for pair in PAIRS).values()) >= 4


@given(ANYTHING | MARKED)
def test_a_normal_form_is_its_own(text):
    assert normalise(normalise(text)) == normalise(text)


@given(ANYTHING | MARKED)
def test_case_and_space_around_do_not_matter(text):
    other = "".join(c.swapcase() if c.swapcase().casefold() == c.casefold() else c for c in text)
    if not any(unicodedata.combining(c) for c in text):  # Marks can join with either case.
        assert normalise(f"  {other}\t") == normalise(text)


@given(ANYTHING | MARKED)
def test_something_is_left_of_anything_that_can_be_seen(text):
    def hidden(c):
        return c.isspace() or unicodedata.category(c) == "Cf" or "\ufe00" <= c <= "\ufe0f"

    assert (normalise(text) == "") is all(map(hidden, text))


@given(ANYTHING | MARKED)
def test_composed_and_decomposed_accents_agree(text):
    for form in ("NFC", "NFD"):
        assert normalise(unicodedata.normalize(form, text)) == normalise(text)


@given(PLAIN | st.lists(st.text(string.ascii_letters + string.digits + ".?!", min_size=1)))
def test_the_short_way_for_plain_words_gives_what_the_long_one_does(words):
    text = " ".join(words)
    # A character that is not ASCII takes the long way, and is then dropped.
    assert normalise(f"{text}\u200b") == normalise(text)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False).map(lambda x: f"{x:f}"))
def test_different_numbers_differ(number):
    written = str(number)
    assert normalise(written) == written
    opposite = written[1:] if written[0] == "-" else f"-{written}"
    for other in (opposite, f"1{written}", f"{written}0", f"{written}%"):
        assert not exact_match(other, [written])
    assert exact_match(f"{written}.", [f"  {written}"])


def test_words_are_compared_in_normal_form():
    assert token_f1("Red, green!", ["green red blue", "blue"]) == pytest.approx(0.8)
    assert token_f1("The Eiffel Tower", ["eiffel tower"]) == 1
    assert token_f1("blue blue", ["blue"]) == pytest.approx(2 / 3)
    assert token_f1("2.5", ["25"]) == token_f1("", ["nothing"]) == 0


@given(ANYTHING | MARKED, ANYTHING | MARKED)
def test_a_right_answer_shares_every_word(first, second):
    if exact_match(first, [second]):
        assert token_f1(first, [second]) == float(normalise(first) != "")
    assert 0 <= token_f1(first, [second]) <= 1


@pytest.mark.machine
def test_a_million_answers_take_seconds():
    texts = [f"The Answer {n}, by J. Smith" for n in range(100_000)]
    start = time.process_time()
    assert not any(exact_match(text, ["Ann Smith"]) for text in texts)
    assert time.process_time() - start < 5  # about 1
