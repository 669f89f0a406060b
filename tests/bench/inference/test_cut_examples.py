"""Examples that a form cuts in training."""

from hypothesis import given
from hypothesis import strategies as st

from bench.inference.contexts import Contexts
from bench.inference.encoding import Example, shortened
from tasks.alpaca import ALPACA
from tasks.context import Context
from tasks.fact import Fact
from tasks.prompt import Prompt
from tests.conftest import byte_tokenizer


@given(prompt=st.integers(1, 12), target=st.integers(1, 12), most=st.integers(2, 12))
def test_a_cut_example_begins_as_the_whole_one_and_predicts_something(prompt, target, most):
    whole = Example(tuple(range(prompt + target)), prompt)
    cut = shortened(whole, most)
    assert len(cut.tokens) == min(most, prompt + target)
    assert 0 < cut.start < len(cut.tokens)
    first = min(prompt, most - 1)
    assert cut.tokens[:first] == whole.tokens[:first]
    assert cut.tokens[cut.start] == whole.tokens[whole.start], "its first target is predicted"


def test_a_response_is_trained_with_the_end_token_and_cut_after_512_tokens():
    tokenizer = byte_tokenizer()
    contexts = Contexts(tokenizer, Prompt((), ALPACA))
    facts = [Fact("short", "Add.", ("Two\nlines.",)), Fact("long", "Add.", ("x" * 600,))]
    short, long = contexts.examples(Context.PLAIN, facts)
    said = tokenizer.decode(short.tokens[short.start : -1])
    assert (said, short.tokens[-1]) == ("Two\nlines.", tokenizer.eos_token_id)
    assert tokenizer.decode(short.tokens[: short.start]) == ALPACA.question("Add.")
    assert len(long.tokens) == 512
    assert tokenizer.eos_token_id not in long.tokens, "as the published code does"
