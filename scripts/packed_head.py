"""How much the packed head speeds up a decoding step: `python scripts/packed_head.py 135m|1b`.

Models have random weights in the shapes of SmolLM2-135M and Llama-3.2-1B. The layers of a model
are all alike, so only two layers of the second are run, and a step is extrapolated to all 16.
Packed and plain steps take turns, so that other load on the machine slows both.
"""

import copy
import sys
from contextlib import nullcontext
from statistics import median
from time import perf_counter

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from bench.inference import packed_lm_head
from bench.inference.lm_head import last_logits
from bench.optimizations import Optimization, without

SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
SIZES += ("vocab_size", "num_hidden_layers")
SHAPES = {  # the sizes, and how many layers the real model has
    "135m": ((576, 1536, 9, 3, 49152, 30), 30),
    "1b": ((2048, 8192, 32, 8, 128256, 2), 16),
}
PROMPT, ROUNDS = 60, 16


def seconds(run, packed):
    """Return how long a call takes with the packed head or the plain one."""
    with nullcontext() if packed else without(Optimization.PACKED_HEAD):
        start = perf_counter()
        run()
        return perf_counter() - start


@torch.no_grad()
def main(shape):
    """Print the gain of the head alone and of a whole step, for some numbers of rows."""
    sizes, depth = SHAPES[shape]
    config = LlamaConfig(**dict(zip(SIZES, sizes, strict=True)), tie_word_embeddings=True)
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    packed_lm_head.LARGEST = 2**40
    assert packed_lm_head.pack_head(model)
    head = model.get_output_embeddings()
    for rows in (8, 16, 32):
        prompt = DynamicCache()
        model(torch.ones(1, PROMPT, dtype=torch.long), past_key_values=prompt, use_cache=True)
        prompt.batch_repeat_interleave(rows)
        tokens, states = torch.ones(rows, 1, dtype=torch.long), torch.randn(rows, 1, sizes[0])
        heads, steps = [], []
        for number in range(ROUNDS):
            turns = (True, False) if number % 2 else (False, True)
            caches = {packed: copy.deepcopy(prompt) for packed in turns}
            inputs = {p: {"input_ids": tokens, "past_key_values": caches[p]} for p in turns}
            alone = {p: seconds(lambda: head(states), p) for p in turns}
            whole = {p: seconds(lambda p=p: last_logits(model, **inputs[p]), p) for p in turns}
            layers = (whole[False] - alone[False]) * depth / config.num_hidden_layers
            heads.append(alone[False] / alone[True])
            steps.append((alone[False] + layers) / (alone[True] + layers))
        found = f"head {median(heads):.2f}, step {median(steps):.2f} times faster"
        print(f"{shape}, {rows} rows, {torch.get_num_threads()} threads: {found}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
