"""The texts that users see keep the rules of plain English that can be checked."""

import inspect
import re
import sys

import click
import pytest
from traitlets.config import Configurable

from memwatch.cli import main
from support import ROOT

sys.path.append(str(ROOT / "tools"))
from user_texts import all_texts

TEXTS = all_texts()
NAMES = ("OUT,", "CellReport", "MemWatch.", "Error: ")
ERRORS = [each for each in TEXTS if each.kind != "help"]

# Sentences that a reader has to read twice.
BANNED = re.compile(
    r"\bis no \b|\bare no \b|\bwho (?:looks|is|may|was)\b"
    r"|\bwhoever\b|\bnobody\b|\bsomebody\b|\btold\b|\btells?\b|\bheed|\bmend|\banew\b"
    r"|\bwhat there is\b|\bthat is what\b|\bfor want of\b|\bgoes on\b|\broom\b"
    r"|\bthe mark\b|\bis to be had\b|\bwhose it is\b"
)


def name_of(text):
    return f"{text.path.name}:{text.line}"


def test_texts_are_found():
    assert len(ERRORS) > 100
    assert {each.kind for each in TEXTS} == {"error", "message", "help"}


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_text_uses_plain_english(text):
    assert not BANNED.search(text.text), text.text


@pytest.mark.parametrize("text", ERRORS, ids=name_of)
def test_error_is_one_lower_case_line_without_a_full_stop(text):
    first = text.text.lstrip("{}'")[:1]
    # Names of commands, options and files begin as they are written.
    assert not first.isupper() or text.text.startswith(
        ("OUT,", "CellReport", "MemWatch.", "Error: ")
    ), text.text
    assert "\n" not in text.text
    assert not text.text.endswith(".") or text.text.endswith("..."), text.text


def options():
    commands = main.list_commands(None)
    for name in commands:
        command = main.get_command(None, name)
        yield from ((name, each) for each in command.params if each.opts[0][0] == "-")


@pytest.mark.parametrize(
    ("command", "option"), [*options()], ids=lambda each: getattr(each, "name", each)
)
def test_help_of_an_option_stands_alone(command, option):
    if isinstance(option, click.Option):
        assert option.help, f"memwatch {command} {option.opts[0]}"
        assert option.help[0].isupper()
        assert option.help.endswith(".")
        # It names what it is about: no "the same", no "there".
        assert not re.search(r"\b[Tt]he same\b|\bthere\b|\bthat is all\b", option.help)


def test_help_of_every_trait_is_sentences_and_names_the_default():
    from memwatch.ipython.magics import MemWatch

    assert issubclass(MemWatch, Configurable)
    for name, trait in MemWatch.class_traits(config=True).items():
        text = trait.help
        assert text[:1].isupper(), name
        assert text.endswith("."), name
        assert "efault" in text, name
        assert not BANNED.search(text), text


def help_texts():
    """Every help as it is displayed: of magics, traits and commands."""
    from memwatch.ipython.command_line import _describe_command
    from memwatch.ipython.commands import COMMANDS
    from memwatch.ipython.magics import MemWatch

    for magic in (MemWatch, MemWatch.memwatch, MemWatch.memwatch_quiet):
        yield inspect.getdoc(magic)
    for name, trait in MemWatch.class_traits(config=True).items():
        yield f"{name}: {trait.help}"
    for name, command in COMMANDS.items():
        yield _describe_command(name, command)
    yield click.Context(main).get_help()
    for name in main.list_commands(None):
        yield click.Context(main.get_command(None, name)).get_help()


def test_help_has_no_raw_markup():
    texts = list(help_texts())
    assert len(texts) > 30
    for text in texts:
        assert not re.search(r"::(?!/)|``|:\w+:`|\b>>>", text), text
        assert not BANNED.search(text), text
