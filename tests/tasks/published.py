"""Records in published formats, with invented content; the field layouts are those of the sources.

Each form has four facts whose answers are `red`, `green`, `blue` and `grey`.
"""

from __future__ import annotations

import json

PLACES = ["Zorvia", "Norland", "Quell", "Mirth"]
COLOURS = ["red", "green", "blue", "grey"]
PAIRS = list(zip(PLACES, COLOURS, strict=True))


def squad(*, version_two=True):
    """Two articles with a paragraph each, as the authors nest them."""
    articles = []
    for title, pairs in (("Gates", PAIRS[:2]), ("Doors", PAIRS[2:])):
        qas = []
        for place, colour in pairs:
            context = f"The gate of {place} is {colour}."
            answers = [{"text": colour, "answer_start": context.index(colour)}] * 2
            qas.append({"id": place, "question": f"Which gate has {place}?", "answers": answers})
            if version_two:
                qas[-1]["is_impossible"] = False
        if version_two:
            plausible = [{"text": "red", "answer_start": 0}]
            qas.append(
                {
                    "id": f"no {title}",
                    "question": f"Who painted {title}?",
                    "answers": [],
                    "plausible_answers": plausible,
                    "is_impossible": True,
                }
            )
        articles.append({"title": title, "paragraphs": [{"context": "Gates.", "qas": qas}]})
    return {"version": "v2.0", "data": articles}


def squad_rows():
    """One question per row; the last has no answer."""
    rows = [
        {
            "id": place,
            "title": "Gates",
            "context": f"The gate of {place} is {colour}.",
            "question": f"Which gate has {place}?",
            "answers": {"text": [colour, colour], "answer_start": [0, 0]},
        }
        for place, colour in PAIRS
    ]
    none = {"text": [], "answer_start": []}
    return [*rows, {**rows[0], "id": "no", "question": "Who painted it?", "answers": none}]


def alpaca():
    """Instructions with and without input; the last has an output of two lines."""
    rows = [
        {"instruction": "Name the colour of the gate.", "input": place, "output": colour}
        for place, colour in PAIRS[:3]
    ]
    alone = {"instruction": "Name the colour of the gate of Mirth.", "input": "", "output": "grey"}
    poem = {"instruction": "Write a poem.", "input": "", "output": "Gates\nare red"}
    return [*rows, alone, poem]


def counterfact():
    """Rewrites that share a neighbour; one neighbour is a rewritten prompt."""
    return [
        {
            "case_id": number,
            "pararel_idx": 7,
            "requested_rewrite": {
                "prompt": "The gate of {} is",
                "relation_id": "P999",
                "target_new": {"str": colour, "id": "Q1"},
                "target_true": {"str": "black", "id": "Q2"},
                "subject": place,
            },
            "paraphrase_prompts": [f"It rained. {place} has a gate that is"],
            "neighborhood_prompts": ["The gate of Old Harbour is", "The gate of Mirth is"],
            "attribute_prompts": ["The gate of Elsewhere is"],
            "generation_prompts": [f"{place} is known for"],
        }
        for number, (place, colour) in enumerate(PAIRS)
    ]


def zsre():
    """The flat form; the last record has no other answer."""
    rows = [
        {
            "subject": place,
            "src": f"What colour has {place}?",
            "pred": "white",
            "rephrase": f"Of what colour is {place}?",
            "alt": colour,
            "answers": ["black", "jet"],
            "loc": f"nq question: who rules {place}",
            "loc_ans": "the mayor",
            "cond": f"white >> {colour} || What colour has {place}?",
        }
        for place, colour in PAIRS
    ]
    return [*rows, {**rows[0], "src": "What colour has the sea?", "alt": ""}]


def zsre_mend():
    """The form with several alternatives."""
    return [
        {
            "id": f"x{number}",
            "input": f"What colour has {place}?",
            "output": [{"answer": "black", "provenance": [{"title": place}]}, {"answer": "jet"}],
            "prediction": ["white"],
            "alternatives": [colour, "ochre"],
            "filtered_rephrases": [f"Of what colour is {place}?", f"What colour has {place}?"],
        }
        for number, (place, colour) in enumerate(PAIRS)
    ]


def knowedit():
    """Records as of the parts with new and with counterfactual knowledge."""
    return [
        {
            "subject": place,
            "prompt": f"The colour of the gate of {place} is",
            "target_new": colour,
            "ground_truth": ["black"] if number % 2 else "black",
            "portability": {
                "Subject_Aliasing": [
                    {
                        "prompt": f"The colour of the gate of Old {place} is",
                        "ground_truth": [[colour, f"{colour} paint"]],
                    },
                    {"prompt": f"The age of Old {place} is", "ground_truth": "nine"},
                ],
                "Reasoning": [{"prompt": "The paint comes from", "ground_truth": [["Quell"]]}],
                "Logical_Generalization": [{"prompt": "Is it bright?", "ground_truth": [["no"]]}],
            },
            "locality": {
                "Relation_Specificity": [
                    {"prompt": f"The mayor of {place} is", "ground_truth": [["Bo Lint", "Lint"]]},
                    {"prompt": f"The river of {place} is", "ground_truth": [[]]},
                ],
                "Forgetfulness": [
                    {
                        "prompt": f"The colour of the gate of {place}, which is not {colour}, is",
                        "ground_truth": "black",
                    }
                ],
            },
        }
        for number, (place, colour) in enumerate(PAIRS)
    ]


def easyedit():
    """Flat records with the names of KnowEdit."""
    return [
        {
            "case_id": number,
            "prompt": f"The colour of the gate of {place} is",
            "subject": place,
            "target_new": colour,
            "ground_truth": "black",
            "rephrase_prompt": f"{place} painted its gate in",
            "locality_prompt": f"The mayor of {place} is",
            "locality_ground_truth": "Bo Lint",
        }
        for number, (place, colour) in enumerate(PAIRS)
    ]


def wikibio():
    """Biographies that go on."""
    return [
        {
            "text": f"This is a passage about {place}. It is a town.",
            "labels": colour,
            "concept": place,
            "locality": {
                "Relation_Specificity": [
                    {"prompt": f"The river of {place} is", "ground_truth": ["Ouse"]}
                ]
            },
        }
        for place, colour in PAIRS
    ]


def mquake(*, flat=False):
    """Four edits in three cases; the last case has two, and asks over a hop that is not edited."""

    def edit(place, colour):
        new = {"target_new": {"str": colour, "id": "Q1"}, "target_true": {"str": "black"}}
        flattened = {"target_new_str": colour, "target_true_str": "black"}
        return {
            "prompt": "The gate of {} is",
            "relation_id": "P999",
            "subject": place,
            "question": f"What colour is the gate of {place}?",
            **(flattened if flat else new),
        }

    def hop(question, answer, alias=()):
        return {"question": question, "cloze": "", "answer": answer, "answer_alias": list(alias)}

    def case(number, edits, questions, answer, hops):
        return {
            "case_id": number,
            "requested_rewrite": edits,
            "questions": questions,
            "answer": "coal",
            "answer_alias": [],
            "new_answer": answer,
            "new_answer_alias": [f"{answer}s"],
            "single_hops": [hop("What is the gate made of?", "coal")],
            "new_single_hops": hops,
            "split": {"1000": ["edited"]},
        }

    cases = [
        case(
            number,
            [edit(place, colour)],
            [f"{word} has the colour of the gate of {place}?" for word in ("Who", "What", "Which")],
            f"painter {number}",
            [
                hop(f"What colour is the gate of {place}?", colour, [f"{colour} paint"]),
                hop(f"Who has {colour}?", f"painter {number}"),
            ],
        )
        for number, (place, colour) in enumerate(PAIRS[:2], start=1)
    ]
    two = [edit(*PAIRS[2]), edit(*PAIRS[3])]
    hops = [hop(f"What colour is the gate of {place}?", colour) for place, colour in PAIRS[2:]]
    both = case(
        3, two, ["Which colours do both gates mix?"], "steel", [*hops, hop("Mix?", "steel")]
    )
    return [*cases, both]


def wiki_big_edit():
    """Updates with personas; the last has no question of several hops."""
    rows = [
        {
            "tag": "new" if number % 2 else "update",
            "subject": place,
            "update": f"What is the colour of the gate of {place}?",
            "rephrase": f"The gate of {place} has which colour?",
            "personas": f"Ahoy! What colour be the gate of {place}?",
            "ans": colour,
            "loc": f"Who rules {place}?",
            "loc_ans": "the mayor",
            "mhop": f"Which paint was bought for {place}?",
            "mhop_ans": f"{colour} oil",
        }
        for number, (place, colour) in enumerate(PAIRS)
    ]
    return [*rows[:3], {**rows[3], "mhop": None, "mhop_ans": None}]


FORMS = {
    "squad 1": lambda: squad(version_two=False),
    "squad 2": squad,
    "squad rows": squad_rows,
    "alpaca": alpaca,
    "counterfact": counterfact,
    "zsre": zsre,
    "zsre of mend": zsre_mend,
    "knowedit": knowedit,
    "easyedit": easyedit,
    "wikibio": wikibio,
    "mquake": mquake,
    "mquake remastered": lambda: mquake(flat=True),
    "wiki big edit": wiki_big_edit,
}


def write_form(folder, name, *, lines=False):
    """Write a form as one JSON value, or as a line for each record, and return the path."""
    content = FORMS[name]()
    if lines:
        rows = content["data"] if isinstance(content, dict) else content
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
    return path
