"""`python -m bench show CELL`: one cell, its numbers, and what the model said before and after."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.evaluation.metrics import metric_table
from bench.evaluation.why import MEASURES, of_layers
from bench.planning.tuning import shown_name
from bench.redaction import safe_text
from bench.report.html.answer_changes import EXAMPLE_COLUMNS, AnswerChange, answer_changes
from bench.report.leaderboard.board import DRIFT, Cell
from bench.report.leaderboard.read_cells import load_cells
from bench.report.leaderboard.recipe_notes import told, untold
from bench.report.statistics.intervals import FEWEST_ITEMS
from bench.report.tables import format as wording
from bench.report.tables.terminal import WIDTH, render
from bench.store.asks import Asks
from bench.store.records import CellRecord, Evaluated, Forgetting, Status, WeightChange
from bench.store.store import ResultsStore

_NOTE_LENGTH = 240

Pairs = Iterable[tuple[str, str]]


def show_cell(folder: Path, prefix: str, *, width: int = WIDTH, color: bool = False) -> str:
    """Return a cell as text: setting, metrics, forgetting, phases, examples.

    Args:
        folder: The results folder.
        prefix: The first characters of the cell's id, enough to be unique.
        width: Columns of the terminal.
        color: Whether to use colours.

    Raises:
        UsageError: No cell or several begin so, or its files are damaged.
    """
    store = ResultsStore(folder)
    record = store.find(prefix)
    cell = load_cells(store, [record])[0] if record.status is Status.DONE else None
    parts: list[RenderableType] = [_heading(record), _pairs(_setting(record)), ""]
    if record.metrics is not None:
        parts += [_title("metrics"), _pairs(_metrics(record, cell)), ""]
    if record.forgetting:
        parts += [_title("forgetting"), _forgetting(record.forgetting), ""]
    if record.evaluated:
        parts += [_title("learned (--evaluate)"), _evaluated(record.evaluated), ""]
    if record.change is not None and record.change.layers:
        parts += _change(record.change)
    if record.phases:
        parts += [_title("phases"), _phases(record), ""]
    parts += [Text(f"warning: {safe_text(text)}", style="yellow") for text in record.warnings]
    if cell is not None:
        rows = cell.facts.some(EXAMPLE_COLUMNS)
        for change in answer_changes(rows, record.spec.train_prompt.asked):
            parts += _answers(change)
    if record.traceback:
        lines = (safe_text(line) for line in record.traceback.splitlines())
        parts += [_title("traceback"), *(Text(line, style="dim") for line in lines)]
    return render(parts, width=width, color=color)


def _heading(record: CellRecord) -> Text:
    heading = Text(f"cell {safe_text(record.cell_id)}: ", style="bold")
    color = "green" if record.status is Status.DONE else "red"
    heading.append(record.status.value.replace("_", " "), style=color)
    heading.append(f": {safe_text(record.reason)}" if record.reason else "")
    return heading


def _title(text: str) -> Text:
    return Text(text, style="bold")


def _pairs(pairs: Pairs) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        table.add_row(Text(safe_text(name), style="dim"), Text(safe_text(value)))
    return table


def _setting(record: CellRecord) -> Pairs:
    spec = record.spec
    yield "method", spec.method
    yield "recipe", spec.recipe
    yield "base", f"{spec.model} ({spec.precision}, revision {spec.model_revision})"
    asks = record.asks or (Asks.PROBLEMS if spec.lessons else Asks.FACTS)
    kind = f"{spec.fact_set} {asks.items}" if spec.fact_set else asks.items
    held_out = f" asked, trained on {spec.lessons} {asks.lessons}" if spec.lessons else ""
    yield "task", f"{spec.task}, {spec.facts} {kind}{held_out}"
    if spec.after:
        yield "first step", f"{spec.after.told} (cell {spec.after.cell})"
    if spec.tuned:
        over = ", ".join(map(shown_name, spec.tuned.over)) or "nothing"
        yield "requested", f"{spec.asked}, tuned over {over}"
    yield (
        "training",
        f"learning rate {spec.learning_rate:g}, {spec.epochs} epochs, "
        f"batch {spec.batch_size}, {spec.schedule}, prompt {spec.train_prompt}, seed {spec.seed}",
    )
    total = wording.count(record.parameters_total)
    yield "trainable", f"{wording.count(record.parameters)} of {total} parameters"
    yield "compute", wording.operations(record.flops)
    if record.init_difference is not None:
        whose = "those after the first step" if spec.after else "the base's"
        same = f"outputs {'equal' if record.identity else 'differ from'} {whose}"
        yield "untrained", f"{same}; largest logit difference {record.init_difference:.2g}"
    if record.adapter_path:
        yield "adapter", record.adapter_path
    yield from ((choice.label, choice.text) for choice in told(record))
    yield from ((name, _shortened(str(value))) for name, value in untold(record).items())


def _shortened(text: str) -> str:
    """Cut a long note or answer to a few lines; the stored cell holds all of it."""
    return text if len(text) <= _NOTE_LENGTH else f"{text[:_NOTE_LENGTH]}..."


def _metrics(record: CellRecord, cell: Cell | None) -> Pairs:
    metrics = record.metrics.model_dump() if record.metrics else {}
    table = metric_table()
    for name, value in metrics.items():
        known = table.get(name)
        mean = known if known and known.is_mean else None
        few = mean and cell and len(cell.facts.per_fact(mean)) < FEWEST_ITEMS
        if value is None or few:
            text = wording.MISSING
        else:
            text = f"{100 * value:.1f}%" if known and known.is_share else f"{value:.3f}"
        yield name.replace("_", " "), text


def _forgetting(entries: list[Forgetting]) -> Table:
    table = _table("task", "metric", "base", "tuned", "forgotten", "items")
    for entry in entries:
        lost = f"{entry.forgetting:+.3f}" if entry.task != DRIFT else f"{entry.forgetting:.3f}"
        scores = (f"{entry.base:.3f}", f"{entry.tuned:.3f}", "at floor" if entry.at_floor else lost)
        cells = (entry.task, entry.metric, *scores, str(len(entry.tuned_items)))
        table.add_row(*(Text(safe_text(cell)) for cell in cells))
    return table


def _evaluated(entries: list[Evaluated]) -> Table:
    table = _table("task", "metric", "base", "tuned", "learned", "items")
    for entry in entries:
        scores = (f"{entry.base:.3f}", f"{entry.tuned:.3f}", f"{entry.tuned - entry.base:+.3f}")
        cells = (entry.task, entry.metric, *scores, str(len(entry.tuned_items)))
        table.add_row(*(Text(safe_text(cell)) for cell in cells))
    return table


def _phases(record: CellRecord) -> Table:
    whose = "" if record.stacked == 1 else f" of {record.stacked} cells"
    table = _table("phase", "time spent", "time with empty caches", f"peak memory{whose}")
    for name, phase in record.phases.items():
        times = (wording.duration(phase.seconds), wording.duration(phase.seconds_cold))
        table.add_row(name.value, *times, wording.memory(phase.peak_bytes))
    return table


def _change(change: WeightChange) -> list[RenderableType]:
    """Return the measures of `--explain` by decoder layer, counted from 1 as people do."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(change.layers):
        number = next((part for part in name.split(".") if part.isdigit()), None)
        places.setdefault(str(int(number) + 1) if number else "outside", []).append(place)
    parts = {name: of_layers(change, chosen) for name, chosen in places.items()}
    numbers = {name: [m.of(part) for m in MEASURES] for name, part in parts.items()}
    numbers["all"] = [measure.of(change) for measure in MEASURES]
    table = _table("layer", *(measure.header for measure in MEASURES))
    for name, values in numbers.items():
        table.add_row(name, *(wording.MISSING if v is None else f"{v:.3g}" for v in values))
    title = _title("why (--explain)")
    known, task = change.knowledge, change.task
    said = f"{change.directions} singular directions at each end"
    if known and task:
        said += f"; {known.tokens:,} tokens of knowledge, {task.tokens:,} of the task"
    title.append(f"  {said}", style="dim not bold")
    return [title, table, ""]


def _answers(change: AnswerChange) -> list[RenderableType]:
    title = _title(f"{change.name}: {change.count}")
    title.append(f"  {change.meaning}", style="dim not bold")
    if not change.examples:
        return [title]
    updates = any(example.old for example in change.examples)
    old = ["old answer"] if updates else []
    headers = ("before", "after", "other contexts", "epochs", "distance")
    table = _table("question", "target", *old, *headers)
    for example in change.examples:
        old = [" | ".join(example.old)] if updates else []
        said = (example.before, example.after_marked, example.elsewhere_text)
        texts = (example.question, example.target, *old, *said)
        shown = (Text(safe_text(_shortened(text)) or "(empty)", overflow="fold") for text in texts)
        epochs = wording.MISSING if example.epochs is None else str(example.epochs)
        distances = f"{example.distance_before:.2f} → {example.distance_after:.2f}"
        table.add_row(*shown, epochs, distances)
    return [title, table, ""]


def _table(*headers: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
