"""A cell around the two-layer model, without a runner: prepare, attach, train, save, load."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from methods.calibration import calibration_facts, text_batches, window_length
from methods.parts import Setting
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt, fact_text

FACTS = tuple(
    Fact(f"f{i}", f"What is the {word} of {word[::-1]} number {i}?", (f"{word} {i}",))
    for i, word in enumerate(["river", "capital", "colour", "symbol", "height", "author"] * 4)
)
TOKENS = torch.arange(24).view(2, 12) + 65


def rows_of(tokenizer, texts, size):
    """Batches of texts, shortest first, padded on the right."""
    return list(text_batches(tokenizer, texts, torch.device("cpu"), batch_size=size))


def row_losses(model):
    """What computes the mean cross-entropy over the tokens of each row of a batch."""

    def losses(batch):
        logits, mask = model(**batch, use_cache=False).logits, batch["attention_mask"]
        labels = batch["input_ids"].masked_fill(mask == 0, -100)[:, 1:]
        each = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().transpose(1, 2), labels, reduction="none"
        )
        return each.sum(1) / (labels != -100).sum(1)

    return losses


class TinySignals:
    """Covariance and gradient of `methods.signals.Signals`, straight from the base."""

    def __init__(self, base):
        self.base = base
        self.prompt = Prompt(BUILT_IN)

    def covariance(self, facts, samples=None, pack=0, *, scaled=True):
        from methods.covariance import input_covariances

        texts = [fact_text(fact) for fact in calibration_facts(facts, samples)]
        model = self.base.model
        window = window_length(model, pack)
        batches = text_batches(self.base.tokenizer, texts, model.device, window, 4)
        return input_covariances(model, batches, scaled=scaled)

    def gradient(self, facts, samples=None):
        from bench.models.copy_on_write import borrow
        from methods.gradient import mean_gradients

        model = borrow(self.base).model
        texts = [fact_text(fact) for fact in facts[:samples]]
        return mean_gradients(model, rows_of(self.base.tokenizer, texts, 8), row_losses(model))


@dataclass
class Cell:
    """An adapter attached to a borrowed base."""

    base: object
    adapter: object
    setting: Setting
    prepared: object
    model: torch.nn.Module

    def logits(self):
        """Logits of `TOKENS`, without those of virtual tokens."""
        return logits_of(self.model)

    def train(self, steps=3, rate=5e-3):
        """Take steps as the training loop does."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=rate)
        self.model.train()
        for step in range(steps):
            logits = run(self.model)
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()
            )
            extra = self.adapter.extra_loss(self.model)
            (loss if extra is None else loss + extra).backward()
            optimizer.step()
            self.adapter.after_step(self.model, step)
            optimizer.zero_grad()
        self.model.eval()

    def save(self, folder):
        """Save and return the folder."""
        self.adapter.save(self.model, self.prepared, self.setting, folder)
        return folder


def attach(base, adapter, layers=None, calibration=FACTS[:12], steps=10):
    """Start a cell on a borrowed copy of `base`."""
    from bench.models.copy_on_write import borrow

    adapter.check()
    loan = borrow(base)
    setting = Setting(
        loan.model,
        FACTS,
        calibration,
        layers,
        steps,
        0,
        TinySignals(base),
        "org/tiny",
        base.tokenizer,
    )
    torch.manual_seed(0)
    prepared = adapter.prepare(setting)
    model = adapter.attach(setting, prepared).eval()
    loan.settle()
    return Cell(base, adapter, setting, prepared, model)


def run(model):
    """Forward `TOKENS`, dropping what virtual tokens add in front."""
    mask = torch.ones_like(TOKENS)
    return model(input_ids=TOKENS, attention_mask=mask).logits[:, -TOKENS.shape[1] :].float()


@torch.no_grad()
def logits_of(model):
    """Logits of `TOKENS` in evaluation mode."""
    return run(model.eval())


@pytest.fixture
def cases():
    """`attach`, `logits_of`, `run`, `facts` and `tokens` of this file."""
    return SimpleNamespace(attach=attach, logits_of=logits_of, run=run, facts=FACTS, tokens=TOKENS)
