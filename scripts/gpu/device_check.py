"""Is a GPU right, and how fast: `python device_check.py OUT TOKENIZER [STAGE...]` in the checkout.

Models are of random weights in real shapes. Each stage adds its tables to OUT/gpu.md as it ends.
"""

import copy
import gc
import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from bench import runner
from bench.cell.attach import attach
from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation.responses import budget_for
from bench.evaluation.signals import BaseSignals
from bench.inference.decoding import stop_tokens
from bench.inference.encoding import batches_by_length, collate
from bench.inference.generation import greedy_answers
from bench.models.device import Compute
from bench.models.loading import Base, load_base
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.store.cost_cache import CostCache
from bench.store.store import ResultsStore
from bench.training.loop import train
from methods.decomposition import corda_factors, damped_covariance, principal_factors
from methods.subspaces import End
from methods.targets import linear_names

DEVICE, LARGE = os.environ.get("DEVICE", "cuda:0"), os.environ.get("SHAPE", "1b")
GPU, STARTED = DEVICE.startswith("cuda"), time.monotonic()
OUT, TOKENIZER = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
HALF = "bfloat16" if GPU else "float32"
SIZES = [
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
]
SHAPES = {
    "tiny": (64, 4, 128, 4, 2, 50000),
    "1b": (2048, 16, 8192, 32, 8, 128256),
    "8b": (4096, 32, 14336, 32, 8, 128256),
}
SAME = ["lora", "dora", "rslora", "pissa", "milora", "olora", "corda[mode=kpm]", "corda[mode=ipm]"]
SAME += ["eva", "full", "lora+freeze", "lora+filter[centred=true]", "lora+reweight[refresh=2]"]
GRID = "lora,dora,pissa,corda[mode=kpm],corda[mode=ipm],lora+freeze,full"
CEILING = {}


def tell(title, rows):
    """Add a table to the report, and print it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    told = [
        [f"{v:.4g}" if isinstance(v := row.get(n, ""), float) else str(v) for n in names]
        for row in rows
    ]
    lines = (f"| {' | '.join(cells)} |\n" for cells in (names, ["---"] * len(names), *told))
    print(text := f"\n## {title}\n\n{''.join(lines)}", flush=True)
    (OUT / "gpu.md").open("a").write(text)


def settled():
    """Return the time, all work of the GPU done."""
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(run, repeats=3):
    """Return the median seconds of a call, the first one left out; reset the peak of memory."""
    run()
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    stamps = [settled()]
    for _ in range(repeats):
        run()
        stamps.append(settled())
    return gap(stamps)


def gap(stamps):
    """Return the median seconds between stamps."""
    return median(b - a for a, b in pairwise(stamps))


def gib(read=torch.cuda.max_memory_allocated):
    """Return the most allocated GiB of the GPU since the last reset, or those that are now."""
    return read() / 2**30 if GPU else 0.0


def base_of(shape, file=True):
    """Return a base of random weights: from a file, which is made, or where it will be."""
    tokenizer, folder = AutoTokenizer.from_pretrained(TOKENIZER), Path("/tmp/gpu-models") / shape
    sizes = dict(zip(SIZES, SHAPES[shape], strict=True))
    config = LlamaConfig(**sizes, tie_word_embeddings=shape != "8b", max_position_embeddings=4096)
    if not file or not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        with torch.device(DEVICE):
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, HALF))
        (model if file else config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    if file:
        return load_base(str(folder), dtype=HALF, device=DEVICE)
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    return Base(str(folder), "random", model.eval().requires_grad_(False), tokenizer)


def cells(folder, methods, on=DEVICE, dtype=HALF, **more):
    """Return options and planned cells."""
    told = {"methods": methods, "models": folder, "device": on, "dtype": dtype, "out": OUT / "none"}
    built = build_options({"forgetting": "elements,drift", "forgetting_limit": 8, **told, **more})
    return built, plan_grid(built, ResultsStore(built.out))


def attached(base, cell):
    """Attach a cell's adapter to a base of which nothing is known."""
    known = BaseSignals(base, cell.data.facts, cell.data.prompt, CostCache())
    return attach(base, known, cell.recipe, cell.spec, cell.calibration)


def machine():
    """Measure the ceilings: products and memory."""
    n, size = (8192, 2**30) if GPU else (512, 2**24)
    a, b = (torch.randn(n, n, device=DEVICE).to(getattr(torch, HALF)) for _ in range(2))
    x, y = (torch.empty(size, dtype=torch.uint8, device=DEVICE) for _ in range(2))
    d = a[: n // 2, : n // 2].double()
    CEILING["flops"] = 2 * n**3 / timed(lambda: a @ b, 10)
    row = {"device": torch.cuda.get_device_name() if GPU else "CPU", "torch": torch.__version__}
    row |= {
        f"{HALF} TFLOP/s": CEILING["flops"] / 1e12,
        "float64 TFLOP/s": n**3 / 4e12 / timed(lambda: d @ d),
    }
    tell("Machine", [row | {"copy TB/s": 2e-12 * size / timed(lambda: y.copy_(x), 10)}])


def same():
    """Run every adapter on a small model on both devices: what must agree stands side by side."""
    folder, rows = base_of("tiny").name, []
    for on, dtype in dict.fromkeys((("cpu", "float32"), (DEVICE, "float32"), (DEVICE, HALF))):
        out = OUT / f"same-{on.replace(':', '')}-{dtype}"
        built, planned = cells(folder, SAME, on, dtype, lr="1e-3", limit=16, epochs=8, out=out)
        bench = CellContext(built, Compute(on, dtype), print)
        for cell in planned:
            record = runner.run_cell(cell, bench, Silent()).record
            row = {"method": cell.spec.method, "on": f"{on} {dtype}", "status": record.status.value}
            row |= {"moved at init": record.init_difference}
            row |= (
                {"first loss": record.curve[0].loss, "last loss": record.curve[-1].loss}
                if record.curve
                else {}
            )
            row |= {"nll": record.metrics.nll_after} if record.metrics else {}
            row |= {found.task: found.forgetting for found in record.forgetting}
            rows.append(row | {"reason": record.reason[:150]})
            (OUT / "failures.txt").open("a").write(record.traceback or "")
    tell("The same cells", sorted(rows, key=lambda row: row["method"]))


def steps(shape=LARGE, methods=("lora", "dora"), sizes=(8, 32, 128) if GPU else (8, 32)):
    """Time training steps of ours at several batch sizes, and of PEFT's loop at the first."""
    base, rows = base_of(shape, file=shape != "8b"), []
    for method in methods:
        _, [cell] = cells(base.name, method, limit=256)
        for size in sizes:
            row, stamps, made = {"side": "ours", "method": method, "batch": size}, [], None
            before = gc.collect() * 0 + gib(torch.cuda.memory_allocated)
            made = attached(base, cell)
            row["attaching GiB"] = gib(torch.cuda.memory_allocated) - before
            plan = replace(made.plan, batch_size=size, epochs=16, max_steps=16)
            timed(lambda: None)  # resets the peak
            log = train(made.model, cell.recipe.adapter, plan, lambda *_: stamps.append(settled()))
            seconds, flops = gap(stamps[2:]), log.flops / len(log.losses)
            row |= {"step ms": 1e3 * seconds, "GFLOP": flops / 1e9, "peak GiB": gib()}
            row |= {"share": flops / seconds / CEILING["flops"]} if CEILING else {}
            rows.append(
                row | _launches(made.model, cell.recipe.adapter, replace(plan, max_steps=4))
            )
        rows.append({"side": "PEFT", "method": method, "batch": 8} | _peft(base, made.plan, method))
    tell(f"Training steps, {shape}", rows)


def _launches(*run):
    """Count the kernels of each of four steps, and how long the GPU is busy with them."""
    if not GPU:
        return {}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        train(*run, lambda *_: None)
    ran = [e for e in seen.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    return {
        "kernels": len(ran) // 4,
        "GPU busy ms": sum(e.self_device_time_total for e in ran) / 4e3,
    }


def _peft(base, plan, method):
    """Time the loop that PEFT's documentation shows."""
    lent = copy.deepcopy(base.model, {id(p): p for p in base.model.parameters()})
    options = {"r": 16, "lora_alpha": 16, "target_modules": linear_names(base.model)}
    model, stamps = get_peft_model(lent, LoraConfig(use_dora=method == "dora", **options)), []
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    timed(lambda: None)  # resets the peak
    examples = plan.contexts[0]
    for indices in batches_by_length([len(e.tokens) for e in examples], 8, None)[:16]:
        batch = collate(examples, indices, plan.pad)
        logits = model(
            input_ids=batch.tokens.to(DEVICE), attention_mask=batch.mask.to(DEVICE)
        ).logits
        logits = logits[:, batch.kept.to(DEVICE)].float().transpose(1, 2)
        cross_entropy(logits, batch.labels.to(DEVICE)).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        stamps.append(settled())
    return {"step ms": 1e3 * gap(stamps[2:]), "peak GiB": gib()}


def answers():
    """Time answers of ours and of `generate`, and count how many agree."""
    base = base_of(LARGE)
    _, [cell] = cells(base.name, "lora", limit=64)
    facts, tokenizer, model = cell.data.facts, base.tokenizer, attached(base, cell).model
    budget, said = budget_for(tokenizer, facts), {}
    prompts = [cell.data.prompt.few_shot(fact.question) for fact in facts]
    how = {"do_sample": False, "min_new_tokens": 1, "max_new_tokens": budget}
    how |= {"eos_token_id": list(stop_tokens(tokenizer)), "pad_token_id": tokenizer.pad_token_id}

    def ours():
        said["ours"] = greedy_answers(model, tokenizer, prompts, budget=budget)

    def generate():
        said["generate"] = []
        for start in range(0, len(prompts), 32):
            batch = tokenizer(prompts[start : start + 32], padding=True, return_tensors="pt").to(
                DEVICE
            )
            new = model.generate(**batch, **how)[:, batch["input_ids"].shape[1] :]
            texts = tokenizer.batch_decode(new, skip_special_tokens=True)
            said["generate"] += [text.split("\n")[0].strip() for text in texts]

    rows = [{"side": run.__name__, "s": timed(run, 2)} for run in (ours, generate)]
    equal = sum(a == b for a, b in zip(said["ours"], said["generate"], strict=True))
    tell(
        f"{len(prompts)} answers of {budget} tokens, {LARGE}",
        [row | {"equal": equal} for row in rows],
    )


def prepare():
    """Decompose the matrices of a 7B layer, and a square one by the library as well."""
    rows, shapes = (
        [],
        ((4096, 4096), (11008, 4096), (4096, 11008)) if GPU else ((128, 128), (256, 128)),
    )
    for d_out, d_in in shapes:
        W, X = (torch.randn(n, d_in, device=DEVICE) for n in (d_out, 3000))
        C = damped_covariance(X.T @ X / 256)
        runs = {
            "pissa": lambda: principal_factors(W, 16, 1.0),
            "damping": lambda: damped_covariance(C),
        }
        runs |= {f"corda {end}": (lambda end=end: corda_factors(W, C, 16, 1.0, end)) for end in End}
        if d_out == d_in:
            runs |= {
                "svd float32": lambda: torch.linalg.svd(W),
                "eigh float32": lambda: torch.linalg.eigh(C.float()),
            }
            runs |= {"eigh float64": lambda: torch.linalg.eigh(C)}
        rows.append(
            {"matrix": f"{d_out} x {d_in}"} | {f"{n}, s": timed(run, 1) for n, run in runs.items()}
        )
    tell("Preparing matrices of 7B", rows)


def grid():
    """Run a grid by its command: seconds and memory of each phase; one worker beside four."""
    size = [
        "--limit",
        "32",
        "--epochs",
        "4",
        "--forgetting-limit",
        "50",
        "--device",
        DEVICE.split(":")[0],
    ]
    runs, walls = {"all": ["--methods", GRID, "--workers", "1"]}, []
    runs |= {f"{n}-workers": ["--methods", "lora", "--seeds", "0-7", "--workers", n] for n in "14"}
    folder = base_of(LARGE).name
    for name, told in runs.items():
        out, started = OUT / f"grid-{name}", time.monotonic()
        command = [
            sys.executable,
            "-m",
            "bench",
            "run",
            "--models",
            folder,
            *size,
            *told,
            "--out",
            out,
        ]
        with (OUT / "grid.log").open("a") as log:
            code = subprocess.run(command, stdout=log, stderr=log).returncode
        walls.append({"run": name, "wall s": time.monotonic() - started, "exit": code})
        rows = [
            _phases(json.loads(path.read_text())) for path in sorted((out / "cells").glob("*.json"))
        ]
        tell(f"Cells, {LARGE}, {name}", rows[: 7 if name == "all" else 2])
    tell("Whole runs", walls)


def _phases(cell):
    """Return the seconds and the memory of each phase of a record."""
    row = {
        "method": cell["spec"]["method"],
        "status": cell["status"],
        "reason": cell["reason"][:99],
    }
    for name, phase in cell["phases"].items():
        row |= {
            f"{name} s": float(phase["seconds_cold"]),
            f"{name} GiB": phase["peak_bytes"] / 2**30,
        }
    return row


STAGES = {  # seconds that each needs at most
    "machine": (5, machine),
    "same": (100, same),
    "steps": (60, steps),
    "answers": (30, answers),
    "prepare": (40, prepare),
    "grid": (120, grid),
    "large": (50, lambda: steps("8b" if GPU else "tiny", ("lora",), (8, 32))),
}


def main():
    """Run the stages for which time is left; one that fails is told, and the others run."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or STAGES:
        began, (needs, run) = time.monotonic(), STAGES[name]
        if float(os.environ.get("SECONDS_LEFT", 440)) - (began - STARTED) < needs:
            print(f"{name}: too little time is left", flush=True)
            continue
        try:
            run()
        except Exception as error:
            tell(f"{name} failed", [{"why": f"{type(error).__name__}: {error}"[:300]}])
            (OUT / "failures.txt").open("a").write(traceback.format_exc())
        if GPU:
            torch.cuda.empty_cache()
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


main()
