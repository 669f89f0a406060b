"""Every outcome of a cell recomputed from its saved adapter by PEFT and transformers alone.

Answers come from `PeftModel.from_pretrained` and `generate`, one prompt at a time; epochs to learn
from a plain loop over whole rows. Scoring is the only thing that both sides share.
"""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional
from transformers import AutoModelForCausalLM

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.models.copy_on_write import borrow
from bench.models.loading import load_base
from bench.models.registry import resolve_model
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.store.records import Status
from bench.store.store import ResultsStore
from bench.training.loop import data_order_seed
from methods.adapters.lora import Lora
from methods.parts import ADAPTERS, Setting
from methods.targets import linear_names
from tasks.scoring import exact_match, normalise
from tests.conftest import byte_tokenizer, tiny_llama

EPOCHS, BATCH = 10, 3
WORDS = ("red", "blue", "green", "pink", "grey", "green", "red", "blue", "white")
ADAPTERS_TESTED = sorted({*ADAPTERS.names()} - {"peft"})
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)


@pytest.fixture(scope="module")
def facts():
    """Facts whose answers repeat, so that one can be taken for another."""
    return [
        {
            "id": f"f{i}",
            "question": f"Door {i}{'!' * (i % 3)}?",
            "answer": word,
            "paraphrases": [f"Door {i}, please?", f"Which is door {i}?"],
        }
        for i, word in enumerate(WORDS)
    ]


def taught_model():
    """A small model that has learned to name colours, so that adapters learn facts smoothly."""
    model, tokenizer = tiny_llama(hidden=96), byte_tokenizer()
    model.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    others = [
        tokenizer(f"Question: Door {10 + i}{'!' * (i % 3)}?\nAnswer: {WORDS[i % len(WORDS)]}\n")
        for i in range(40)
    ]
    for step in range(120):
        tokens = torch.tensor([others[step % len(others)]["input_ids"]])
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tokenizer.chat_template = CHAT
    return model.eval().requires_grad_(False), tokenizer


@pytest.fixture(scope="module")
def trained(facts, tmp_path_factory):
    """The folder of a run with one cell of each shipped adapter, and the model's folder."""
    folder = tmp_path_factory.mktemp("recomputed")
    torch.manual_seed(0)
    model, tokenizer = taught_model()
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "doors.jsonl").write_text("".join(json.dumps(row) + "\n" for row in facts))
    options = build_options(
        {
            "methods": ",".join(ADAPTERS_TESTED),
            "tasks": str(folder / "doors.jsonl"),
            "models": str(folder / "model"),
            "forgetting": "elements",  # calibration facts for CorDA
            "forgetting_limit": 4,
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "lr": 3e-3,
            "schedule": "constant",
            "device": "cpu",
            "save_adapters": True,
            "out": folder / "results",
        }
    )
    records = run_grid(options, Silent()).records
    cells = {cell.cell_id: cell for cell in plan_grid(options, ResultsStore(options.out))}
    for record in records:
        assert record.status is Status.DONE, record.traceback or record.reason
    by_name = {record.spec.method: record for record in records}
    return folder, by_name, cells


def rows_of(folder, record):
    return pd.read_parquet(folder / "results" / "facts" / f"{record.cell_id}.parquet")


def loaded(folder, record):
    path = folder / "results" / record.adapter_path
    if record.spec.method == "full":
        return AutoModelForCausalLM.from_pretrained(path).eval()
    base = AutoModelForCausalLM.from_pretrained(folder / "model")
    return PeftModel.from_pretrained(base, path).eval()


def prompts_of(question, demonstrations):
    shown = "".join(f"Question: {q}\nAnswer: {a}\n\n" for q, a in demonstrations)
    return {
        "plain": f"Question: {question}\nAnswer:",
        "few_shot": f"{shown}Question: {question}\nAnswer:",
        "chat": f"<user>{question}\n<bot>",
        "bare": question,
    }


def answer_of(model, tokenizer, prompt, budget):
    """Decode greedily; the second value says whether two tokens were within 1e-3 at some step."""
    tokens = torch.tensor([tokenizer(prompt)["input_ids"]])
    said = model.generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        do_sample=False,
        min_new_tokens=1,
        max_new_tokens=budget,
        eos_token_id=[tokenizer.eos_token_id, *tokenizer("\n")["input_ids"]],
        pad_token_id=tokenizer.pad_token_id,
        output_logits=True,
        return_dict_in_generate=True,
    )
    gaps = [float(step[0].topk(2).values.diff().abs()) for step in said.logits]
    text = tokenizer.decode(said.sequences[0, tokens.shape[1] :])
    for end in ("\n", *tokenizer.all_special_tokens):
        text = text.split(end)[0]
    return text.strip(), min(gaps) < 1e-3


@pytest.mark.parametrize("name", ADAPTERS_TESTED)
def test_answers_are_those_of_the_saved_adapter(trained, facts, name):
    folder, records, cells = trained
    record = records[name]
    rows = rows_of(folder, record).set_index("fact_id")
    model, tokenizer = loaded(folder, record), load_base(source(folder)).tokenizer
    demonstrations = cells[record.cell_id].data.prompt.demonstrations
    targets = {normalise(fact["answer"]) for fact in facts}
    budget = len(" green\n") + 4  # a byte is a token
    compared = wrong = 0
    for fact in facts:
        row = rows.loc[fact["id"]]
        for context, prompt in prompts_of(fact["question"], demonstrations).items():
            said, close = answer_of(model, tokenizer, prompt, budget)
            if close:
                continue
            right = exact_match(said, [fact["answer"]])
            confused = None if right else normalise(said) in targets
            assert row[f"answer_{context}"] == said
            found = row["correct_after"] if context == "plain" else row[f"correct.{context}"]
            assert bool(found) is right
            stored = row[f"confusion.{context}"]
            assert (None if math.isnan(stored) else bool(stored)) is confused
            compared, wrong = compared + 1, wrong + (not right)
        asked = [
            answer_of(model, tokenizer, prompts_of(text, ())["plain"], budget)
            for text in fact["paraphrases"]
        ]
        if not any(close for _, close in asked):
            hits = [exact_match(said, [fact["answer"]]) for said, _ in asked]
            assert row["generality"] == sum(hits) / len(hits)
    assert compared > 2 * len(facts), "most answers are clear"
    assert 0 < wrong < compared


def source(folder):
    return resolve_model(str(folder / "model"))


def start_of(folder, name, record, cells):
    """The model before training: of PEFT alone where it is random, else as the adapter starts."""
    base = load_base(source(folder))
    spec = record.spec
    torch.manual_seed(spec.seed)
    if name in {"lora", "rslora", "dora"}:
        config = LoraConfig(
            r=Lora().r,
            lora_alpha=Lora().r,
            use_dora=name == "dora",
            use_rslora=name == "rslora",
            target_modules=linear_names(base.model),
            task_type="CAUSAL_LM",
        )
        return base.tokenizer, get_peft_model(base.model, config)
    cell = cells[record.cell_id]
    loan = borrow(base)
    from bench.evaluation.signals import BaseSignals
    from bench.store.cost_cache import CostCache

    signals = BaseSignals(base, cell.data.facts, cell.data.prompt, CostCache())
    setting = Setting(
        model=loan.model,
        facts=cell.data.facts,
        calibration=cell.calibration,
        layers=None,
        steps=EPOCHS * 3,
        seed=spec.seed,
        signals=signals,
        base_name=spec.model,
        tokenizer=base.tokenizer,
    )
    prepared = cell.recipe.adapter.prepare(setting)
    torch.manual_seed(spec.seed)
    return base.tokenizer, cell.recipe.adapter.attach(setting, prepared)


@pytest.mark.parametrize("name", ADAPTERS_TESTED)
def test_epochs_to_learn_are_those_of_a_plain_loop(trained, facts, name):
    folder, records, cells = trained
    record = records[name]
    tokenizer, model = start_of(folder, name, record, cells)
    stored = rows_of(folder, record)
    by_id = {fact["id"]: fact for fact in facts}
    ordered = [by_id[fact_id] for fact_id in stored.fact_id]
    prompts = [tokenizer(f"Question: {f['question']}\nAnswer:")["input_ids"] for f in ordered]
    targets = [tokenizer(f" {f['answer']}\n")["input_ids"] for f in ordered]
    adapter = cells[record.cell_id].recipe.adapter
    hits, close = plain_training(model, prompts, targets, record.spec, adapter)

    compared = 0
    for place, row in enumerate(stored.itertuples()):
        if close[place]:
            continue
        wrong = [epoch for epoch, right in enumerate(hits[place]) if not right]
        assert row.epochs_to_learn == (wrong[-1] + 1 if wrong else 0)
        compared += 1
    assert compared > len(facts) / 2
    assert stored.epochs_to_learn.nunique() > 1, "not all are learned at once"


def plain_training(model, prompts, targets, spec, adapter):
    """Train row by row; return per fact what was right in each pass and after, and close calls.

    What the adapter adds to the loss and does after a step is its own, as where it starts.
    """
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.0)
    generator = torch.Generator().manual_seed(data_order_seed(spec.seed, spec.task))
    hits = [[] for _ in prompts]
    close = [False] * len(prompts)
    steps = EPOCHS * math.ceil(len(prompts) / BATCH)
    warmup, step = max(1, round(0.1 * steps)), 0

    def row_loss(i):
        logits = model(input_ids=torch.tensor([prompts[i] + targets[i]])).logits
        logits = logits[0, len(prompts[i]) - 1 : -1]
        expected = torch.tensor(targets[i])
        hits[i].append(bool((logits.argmax(-1) == expected).all()))
        close[i] |= float(logits.topk(2).values.diff().abs().min()) < 1e-3
        return functional.cross_entropy(logits, expected)

    for _ in range(EPOCHS):
        order = torch.randperm(len(prompts), generator=generator).tolist()
        order.sort(key=lambda i: len(prompts[i]) + len(targets[i]))
        batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        for which in torch.randperm(len(batches), generator=generator).tolist():
            loss = sum(row_loss(i) for i in batches[which]) / len(batches[which])
            if (extra := adapter.extra_loss(model)) is not None:
                loss = loss + extra
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = spec.learning_rate * min(1.0, (step + 1) / warmup)
            optimizer.step()
            adapter.after_step(model, step)
            step += 1
    model.eval()
    with torch.no_grad():
        for i in range(len(prompts)):
            row_loss(i)
    return hits, close
