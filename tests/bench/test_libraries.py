"""What libraries warn of is heard once, in one line, and without the folders of a machine."""

from __future__ import annotations

import logging
import warnings

import pytest

from bench.libraries import heard


def test_a_warning_is_heard_once_and_in_one_line():
    with heard() as lines:
        for _ in range(3):
            warnings.warn("two\n   lines", UserWarning, stacklevel=1)
        warnings.warn("another", RuntimeWarning, stacklevel=1)
    assert lines == ["two lines", "another"]


def test_what_is_meant_for_developers_is_not_heard():
    with heard() as lines:
        for kind in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.warn("soon", kind, stacklevel=1)
    assert lines == []


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no file /home/me/models/tiny/config.json there", "no file config.json there"),
        ("'/a/b/c' is odd", "'c' is odd"),
        ("see https://github.com/huggingface/peft/issues/2777", None),
        ("s = alpha / r and 1/2", None),
        ("model.layers.0/q_proj", None),
    ],
)
def test_folders_of_the_machine_are_left_out_and_addresses_are_not(said, kept):
    with heard() as lines:
        warnings.warn(said, UserWarning, stacklevel=1)
    assert lines == [kept or said]


@pytest.mark.parametrize("package", ["peft", "transformers"])
def test_loggers_are_heard_even_where_they_are_silenced(package, capsys):
    logger, before = logging.getLogger(package), logging.getLogger(package).level
    logger.setLevel(logging.ERROR)
    handlers = list(logger.handlers)
    try:
        with heard() as lines:
            logging.getLogger(f"{package}.models.some").warning("of %d layers", 3)
            logging.getLogger(f"{package}.models.some").info("nothing")
        assert [line.partition(" warns: ")[2] for line in lines] == ["of 3 layers"]
        assert (logger.level, logger.handlers) == (logging.ERROR, handlers)
    finally:
        logger.setLevel(before)
    assert capsys.readouterr().err == ""


def test_what_transformers_says_once_in_a_process_is_heard_in_every_block():
    from transformers.utils import logging as their_logging

    for _ in range(2):
        with heard() as lines:
            their_logging.get_logger("transformers.some").warning_once("only once")
        assert lines == ["transformers warns: only once"]


def test_a_block_that_raises_has_been_heard():
    def warn_and_raise(lines):
        with heard() as found:
            lines.append(found)
            warnings.warn("first", UserWarning, stacklevel=1)
            raise ZeroDivisionError

    lines = []
    with pytest.raises(ZeroDivisionError):
        warn_and_raise(lines)
    assert lines == [["first"]]
