"""The page of a model card, in Markdown: how to use it, what it learned, what it forgot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.publishing.card_content import CardContent
from bench.publishing.command import run_command
from bench.publishing.lesson import example_prompt, trained_in
from bench.publishing.measures import Measure
from bench.publishing.remarks import certainties, remarks
from bench.redaction import safe_text
from bench.report.tables import format as wording
from bench.store.asks import Asks

PROJECT = "semantic-peft-bench"

_BRACKETS = "Brackets are 95% confidence intervals, over facts or items for this seed"


def page_text(content: CardContent) -> str:
    """Return the page in Markdown, below the metadata."""
    sections = (
        ("", [_summary(content)]),
        ("How to use it", _use(content)),
        ("What it learned", _table(content, content.found.learned)),
        ("What was forgotten", _forgotten(content)),
        ("How it was trained", _training(content)),
        ("Good to know", _bullets(_remarks(content))),
        ("Licences", _bullets(_licences(content))),
    )
    lines = [f"# {wording.markdown(content.title)}"]
    for title, found in sections:
        lines += [f"## {title}"] if title else []
        lines += found
    return "\n\n".join(lines) + "\n"


def _summary(content: CardContent) -> str:
    spec, lesson = content.saved.spec, content.lesson
    what = "A model made of" if content.merged else "An adapter for"
    base = content.base.repository or content.base.name
    taught = f"{_lessons(content)} of {lesson.name} (seed {spec.seed})"
    return (
        f"{what} {wording.markdown(base)}, trained on {wording.markdown(taught)} by "
        f"{_code(spec.method)} and measured by {PROJECT}."
    )


def _lessons(content: CardContent) -> str:
    """Say how much was trained: `64 facts`."""
    record, spec = content.saved.record, content.saved.spec
    asks = record.asks or (Asks.PROBLEMS if spec.lessons else Asks.FACTS)
    held_out = "examples" if asks is Asks.PROBLEMS else asks.lessons
    return f"{spec.trained} {held_out if spec.lessons else asks.items}"


def _use(content: CardContent) -> Iterable[str]:
    base, where = content.base, safe_text(content.where)
    if content.merged:
        code = [
            "from transformers import AutoModelForCausalLM",
            f'model = AutoModelForCausalLM.from_pretrained("{where}")',
        ]
    else:
        code = [
            "from peft import PeftModel",
            base.importing,
            base.loading,
            f'model = PeftModel.from_pretrained(base, "{where}").eval()',
        ]
    yield _block("\n".join(code), "python")
    if base.kind == "embedded" and not content.merged:
        yield f"`bench` is the package of {PROJECT}, which fetches this base by itself."
    prompt = content.saved.spec.train_prompt
    yield (
        f"It was trained on {trained_in(prompt)}. Put yours in the same way: how often it answers "
        "in other contexts stands in the table below (robustness)."
    )
    if content.question:
        shown = example_prompt(content.lesson, prompt.asked, content.question)
        yield _block(shown)
        yield f"The right answer to this one is {_code(content.answer)}."


def _table(content: CardContent, found: Sequence[Measure], bases: bool = False) -> list[str]:
    """Return a table of measures, and a sentence on its intervals."""
    if not found:
        return ["No measure rests on enough facts or items to be shown."]
    seeds = content.found.seeds
    several = len(seeds) > 1
    heads = ["measure", *(["the base (%)"] if bases else []), "this one"]
    heads += [f"mean of seeds {', '.join(map(str, seeds))}"] if several else []
    lines = [_row(heads), _row([":--", *("--:" for _ in heads[1:])])]
    for one in found:
        before = [content.found.bases.get(one.name.removeprefix("forgetting."), "")]
        values = [one.text(one.own), *([one.text(one.over_seeds)] if several else [])]
        cells = [wording.markdown(one.header), *(before if bases else []), *values]
        lines.append(_row(cells))
    more = "; those of the mean are over seeds too" if several else ""
    meant = [f"- {wording.markdown(one.header)}: {wording.markdown(one.about)}" for one in found]
    return ["\n".join(lines), f"{_BRACKETS}{more}.", "\n".join(meant)]


def _forgotten(content: CardContent) -> list[str]:
    found, at_floor = content.found.forgotten, content.found.at_floor
    if not found and not at_floor:
        return ["It was not measured."]
    floor = f"On {', '.join(at_floor)} the base is no better than chance: nothing could be lost."
    table = _table(content, found, bases=True) if found else []
    return [*table, *([wording.markdown(floor)] if at_floor else [])]


def _training(content: CardContent) -> Iterator[str]:
    saved, spec = content.saved, content.saved.spec
    total = wording.count(saved.record.parameters_total)
    pairs = (
        ("base", f"{content.base.repository or content.base.name}, {spec.precision}"),
        ("recipe", spec.recipe),
        ("learning rate", f"{spec.learning_rate:g}, {spec.schedule}, warm-up {spec.warmup:g}"),
        ("epochs", f"{spec.epochs} over {_lessons(content)}, in batches of {spec.batch_size}"),
        ("trainable parameters", f"{wording.count(saved.record.parameters)} of {total}"),
        ("seed", str(spec.seed)),
    )
    lines = [_row(["", ""]), _row([":--", ":--"])]
    lines += [_row([name, wording.markdown(value)]) for name, value in pairs]
    formulas = "; ".join(certainties(saved.record))
    lines.append(_row(["formulas", formulas]))
    yield "\n".join(lines)
    yield "This command trains it once more:"
    yield _block(run_command(saved.record), "sh")


def _remarks(content: CardContent) -> list[str]:
    return remarks(content.saved, content.base, len(content.found.seeds))


def _licences(content: CardContent) -> Iterator[str]:
    base, lesson = content.base, content.lesson
    owner = base.repository or base.name
    known = f"licence {base.licence}" if base.licence else "see the licence of the base"
    yield f"Base: {owner}, {known}."
    yield f"Data: {lesson.name}, from {lesson.source}; licence: {lesson.licence_text}."


def _bullets(texts: Iterable[str]) -> list[str]:
    return ["\n".join(f"- {_line(text)}" for text in texts)]


def _line(text: str) -> str:
    """Write a sentence on one line; links that this package makes are kept."""
    return text if "](https://" in text else wording.markdown(text)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """Write a text as code within a line."""
    return f"`{safe_text(text).replace('`', chr(39))}`"


def _block(text: str, language: str = "") -> str:
    """Write a text as a block of code, whose fence it cannot close."""
    text = safe_text(text, breaks=True)
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
