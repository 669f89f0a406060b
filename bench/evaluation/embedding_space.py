"""Distances between texts in a space of the base: its input embeddings or a layer's output."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from bench.inference.encoding import Example, batches_by_length, collate, token_ids
from bench.inference.hidden_states import latent_states
from bench.models.loading import Base
from methods.encoder import Encoder
from methods.semantics import EMPTY, answer_distance, cosine_distance
from methods.targets import decoder_layers
from tasks.fact import Fact

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTEXT = "Answer:"
"""Texts are run after this, because the states of a first token hardly depend on the token."""

TEXT_BATCH = 32

FACTS_AT_ONCE = 2**14
"""How many answers are held as vectors; a million in 576 dimensions would take 5 GB."""

ROWS_AT_ONCE = 2**13
"""How many rows of the table are in float64 at a time: of a vocabulary of 128,256 in 4096
dimensions all would take 4.2 GB."""


class AnswerSpace:
    """Distances between single answers in the base's input-embedding space.

    They are the same, bit for bit, as those of a `TextSpace` with the default encoder.

    Args:
        tokenizer: The base's tokenizer.
        table: The base's input embeddings, `[vocabulary, dim]`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, table: Tensor) -> None:
        self._tokenizer = tokenizer
        self._table = table.detach()

    def holding(self, texts: Iterable[str]) -> AnswerSpace:
        """Return the same space with all that some texts need on the CPU.

        Distances are measured one by one. On a GPU each would wait for a dozen transfers, so the
        rows of the table are fetched at once; other texts are measured as before.
        """
        distinct = list(dict.fromkeys(text for text in texts if text))
        ids = _tokens(self._tokenizer, distinct)
        needed = sorted({token for row in ids for token in row})
        places = {token: place for place, token in enumerate(needed)}
        rows = self._table[torch.tensor(needed, dtype=torch.long, device=self._table.device)]
        return _HeldSpace(
            self,
            rows.cpu(),
            {t: [places[i] for i in row] for t, row in zip(distinct, ids, strict=True)},
        )

    def distance(self, answer: str, targets: Iterable[str]) -> float:
        """Return the distance of an answer to the nearest target, in [0, 2]."""
        said = _tokens(self._tokenizer, [answer] if answer else [])
        accepted = _tokens(self._tokenizer, list(targets))
        return answer_distance(self._table, said[0] if said else [], accepted)

    def movement(self, before: str, after: str) -> float:
        """Return the distance between two answers; 0 if both are empty."""
        if before == after:
            return 0.0
        return self.distance(before, [after]) if after else self.distance(after, [before])


class _HeldSpace(AnswerSpace):
    """An answer space that has the vectors of some texts at hand.

    Args:
        whole: The space of all texts.
        rows: Some rows of its table, on the CPU.
        places: The places among them of the tokens of each text.
    """

    def __init__(self, whole: AnswerSpace, rows: Tensor, places: dict[str, list[int]]) -> None:
        super().__init__(whole._tokenizer, whole._table)
        self._rows, self._places = rows, places

    def distance(self, answer: str, targets: Iterable[str]) -> float:
        """Return the distance of an answer to the nearest target, in [0, 2]."""
        accepted = list(targets)
        if not {*accepted, *([answer] if answer else [])} <= self._places.keys():
            return super().distance(answer, accepted)
        said = self._places[answer] if answer else []
        return answer_distance(self._rows, said, [self._places[text] for text in accepted])


class TextSpace:
    """A space in which answers to some facts are compared with their targets.

    Args:
        base: The untouched base.
        encoder: Which space; if it is centred, the centre may depend on the facts' answers.
        facts: The facts, whose accepted answers are the targets.
    """

    def __init__(self, base: Base, encoder: Encoder, facts: Sequence[Fact]) -> None:
        self._base = base
        self._facts = facts
        self._space = encoder.space(len(decoder_layers(base.model)[1]))
        self._table = base.model.get_input_embeddings().weight.detach()
        self._centre: Tensor | None = None
        raw = self._encode([answer for fact in facts for answer in fact.answers])
        if encoder.centred:
            rows = self._table if self._space is None else torch.stack([*raw.values()])
            self._centre = _mean_row(rows)
        self._targets = {text: self._centred(vector) for text, vector in raw.items()}

    def distances(self, answers: Sequence[str]) -> Tensor:
        """Return the distance of each fact's answer to its nearest target, float64 `[facts]`."""
        pairs = list(zip(answers, self._facts, strict=True))
        starts = range(0, len(pairs), FACTS_AT_ONCE)
        found = [self._distances(pairs[start : start + FACTS_AT_ONCE]) for start in starts]
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)

    def _distances(self, pairs: Sequence[tuple[str, Fact]]) -> Tensor:
        # Targets are not run again: another batch rounds differently, but equal texts are at 0.
        said = self._encode([text for text, _ in pairs if text and text not in self._targets])
        centred = {text: self._centred(vector) for text, vector in said.items()}
        known = ChainMap(centred, self._targets)
        found = torch.full((len(pairs),), EMPTY, dtype=torch.float64)
        for rows in _alike([len(fact.answers) if text else 0 for text, fact in pairs]):
            answers = torch.stack([known[pairs[row][0]] for row in rows])
            accepted = [self._targets[text] for row in rows for text in pairs[row][1].answers]
            targets = torch.stack(accepted).view(len(rows), -1, answers.shape[-1])
            found[rows] = cosine_distance(answers[:, None], targets).min(1).values
        return found

    def _centred(self, vector: Tensor) -> Tensor:
        return vector if self._centre is None else vector - self._centre

    def _encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return E of each distinct text before centring, float64 `[dim]`."""
        distinct = list(dict.fromkeys(texts))
        tokens = dict(zip(distinct, _tokens(self._base.tokenizer, distinct), strict=True))
        if self._space is None:
            return _mean_embeddings(self._table, tokens)
        return _mean_states(self._base, tokens, self._space)


def _mean_row(rows: Tensor) -> Tensor:
    """Return the mean of rows `[rows, dim]` on the CPU, where the vectors of texts are."""
    chunks = rows.split(ROWS_AT_ONCE)
    total = sum(chunk.sum(0, dtype=torch.float64) for chunk in chunks)
    return (total / len(rows)).cpu()


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts as they are after a prompt."""
    return token_ids(tokenizer, [f" {text}" for text in texts], special=False)


def _mean_embeddings(table: Tensor, tokens: dict[str, list[int]]) -> dict[str, Tensor]:
    """Return `methods.semantics.mean_embedding` of each text, texts of equal length together."""
    texts, ids = list(tokens), list(tokens.values())
    vectors: dict[int, Tensor] = {}
    for rows in _alike([len(row) for row in ids]):
        chosen = torch.tensor([ids[row] for row in rows], device=table.device)
        means = functional.embedding(chosen, table).double().mean(1).cpu()
        vectors |= zip(rows, means, strict=True)
    return {text: vectors[index] for index, text in enumerate(texts)}


def _alike(sizes: Sequence[int]) -> list[list[int]]:
    """Return the indices of each distinct size except 0."""
    groups: dict[int, list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return [rows for size, rows in groups.items() if size]


@torch.no_grad()
def _mean_states(base: Base, tokens: dict[str, list[int]], space: int) -> dict[str, Tensor]:
    """Return the mean state of the tokens of each text after the context, float64 `[dim]`."""
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
