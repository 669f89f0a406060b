"""Texts as passages: where each stands, and files that are no texts."""

from __future__ import annotations

import shutil

import pytest

from tasks.documents.passages import LARGEST_TEXT, read_passages
from tasks.errors import UsageError
from tasks.fact import facts_digest


def written(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def passages(path):
    return [(fact.id, fact.target) for fact in read_passages(path)]


def test_paragraphs_of_a_text_say_where_they_begin(tmp_path):
    path = written(tmp_path, "a.txt", "\n\nOne\nstill one.\r\n \r\n\nTwo.\n")
    assert passages(path) == [("a.txt:3", "One\nstill one."), ("a.txt:7", "Two.")]
    assert all(fact.is_text for fact in read_passages(path))


def test_sections_of_markdown_begin_with_their_heading_and_stay_as_written(tmp_path):
    content = "Before.\n\n# One\n\n- a **b**\n\n```sh\n# no heading\n```\n\n## Two\nEnd."
    assert passages(written(tmp_path, "a.md", content)) == [
        ("a.md:1", "Before."),
        ("a.md:3", "# One\n\n- a **b**\n\n```sh\n# no heading\n```"),
        ("a.md:11", "## Two\nEnd."),
    ]


def test_a_folder_is_read_in_order_without_what_is_hidden_or_no_text(tmp_path):
    for name in ("b.txt", "a/z.md", "a/.hidden.md", ".git/c.txt", "picture.png", "A.TXT"):
        written(tmp_path, name, f"in {name}")
    assert [place for place, _ in passages(tmp_path)] == ["A.TXT:1", "b.txt:1", "a/z.md:1"]


def test_moving_texts_keeps_their_ids_and_editing_a_passage_changes_the_digest(tmp_path):
    first = written(tmp_path / "here", "a.txt", "One.\n\nTwo.")
    before = facts_digest(read_passages(first)), facts_digest(read_passages(first.parent))
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = tmp_path / "there" / "a.txt"
    assert (facts_digest(read_passages(moved)), facts_digest(read_passages(moved.parent))) == before
    moved.write_text("One.\n\nTwo!")
    assert facts_digest(read_passages(moved)) != before[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.txt: contains no text"),
        (b" \n\n", "a.txt: contains no text"),
        (b"One.\nTw\xff", "a.txt, line 2: not UTF-8 (byte 0xff)"),
        (b"One.\n\0", "a.txt, line 2: a zero byte"),
        (b"x" * (LARGEST_TEXT + 1), "a.txt: 16 MiB are more than the 16 MiB"),
    ],
)
def test_a_file_that_is_no_text_is_named_in_one_line(tmp_path, content, said):
    written(tmp_path, "a.txt", content)
    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(UsageError) as caught:
            read_passages(path)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_without_texts_is_refused_whatever_its_name(tmp_path):
    folder = tmp_path / "notes.md"
    folder.mkdir()
    (folder / "picture.png").write_bytes(b"")
    with pytest.raises(
        UsageError, match=r"notes.md: a folder without texts; put .txt or .md"
    ) as told:
        read_passages(folder)
    assert "\n" not in str(told.value)
