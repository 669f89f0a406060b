"""Distances between texts in a space of the base: its input embeddings or one of its layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.answer_states import latent_states
from bench.encoding import Example, batches_by_length, collate
from bench.models import Base
from methods.encoder import Encoder
from methods.semantics import mean_embedding, nearest_distance
from methods.targets import decoder_layers
from tasks.fact import Fact

CONTEXT = "Answer:"
"""What texts follow when they are run: alone, the first token's states hardly depend on it."""

TEXT_BATCH = 32


class TextSpace:
    """Where the answers to some facts are compared.

    Args:
        base: The pristine base.
        encoder: The space; what is subtracted when centred depends on the facts' answers.
        facts: Whose accepted answers are the targets.
    """

    def __init__(self, base: Base, encoder: Encoder, facts: Sequence[Fact]) -> None:
        self._base = base
        self._facts = facts
        self._space = encoder.space(len(decoder_layers(base.model)[1]))
        self._table = base.model.get_input_embeddings().weight.detach()
        self._centre: Tensor | None = None
        raw = self._encode([answer for fact in facts for answer in fact.answers])
        if encoder.centred:
            rows = self._table.double() if self._space is None else torch.stack([*raw.values()])
            self._centre = rows.mean(0)
        self._targets = {text: self._centred(vector) for text, vector in raw.items()}

    def distances(self, answers: Sequence[str]) -> Tensor:
        """Return how far each fact's answer is from its nearest target, float64 `[facts]`."""
        # What is a target is not run again: the batch moves states by rounding, and equal is 0.
        said = self._encode([text for text in answers if text and text not in self._targets])
        known = {text: self._centred(vector) for text, vector in said.items()} | self._targets
        found = [
            nearest_distance(known.get(answer), [known[target] for target in fact.answers])
            for answer, fact in zip(answers, self._facts, strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64)

    def _centred(self, vector: Tensor) -> Tensor:
        return vector if self._centre is None else vector - self._centre

    def _encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return E of each distinct text before centring, float64 `[dim]`."""
        tokens = {text: self._tokens(f" {text}") for text in texts}
        if self._space is None:
            return {text: mean_embedding(self._table, ids).cpu() for text, ids in tokens.items()}
        return _mean_states(self._base, tokens, self._space)

    def _tokens(self, text: str) -> list[int]:
        return self._base.tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def _mean_states(base: Base, tokens: dict[str, list[int]], space: int) -> dict[str, Tensor]:
    """Return the mean state of each text's tokens after the context, float64 `[dim]`."""
    context = base.tokenizer(CONTEXT)["input_ids"]
    examples = [Example((*context, *ids), len(context)) for ids in tokens.values()]
    lengths = [len(example.tokens) for example in examples]
    vectors: dict[int, Tensor] = {}
    for indices in batches_by_length(lengths, TEXT_BATCH, None):
        batch = collate(examples, indices, base.tokenizer.pad_token_id)
        states = latent_states(base.model, batch)[space]
        for row, index in enumerate(indices):
            text = states[row, len(context) : lengths[index]]
            vectors[index] = text.double().mean(0).cpu()
    return {text: vectors[index] for index, text in enumerate(tokens)}
