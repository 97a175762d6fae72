"""The words of docs/explanation/words.md: what the page says not to use, and English that no reader should have to decode, stay out.

Two scopes. *Text* is everything written in the repository: code with its docstrings and comments, the chart, the docs. *Messages* are what
users read: string literals of the programs that are not docstrings, the chart, the custom resource definition, the OpenAPI document and
the docs.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from tests.source_tree import PACKAGES, ROOT, tracked

SUFFIXES = {".py", ".md", ".yaml", ".yml", ".tpl", ".json", ".toml", ".txt", ".sh", ".go"}
NAMES = {"Makefile", "Dockerfile", "NOTES.txt"}
# What happened is told in the words of its time; fixtures are other programs' words; the words themselves are here and on their page.
LEFT_OUT = ("CHANGELOG.md", "LICENSE", "tests/data/", "tests/repo/test_words.py", "docs/explanation/words.md", "requirements/")
# Names and texts of another system, which are compared with it to the byte.
OTHER_SYSTEMS = ("api/podbook_api/doors/jupyrest", "tests/jupyrest", "tests/api/jupyrest")
CONTEXT = 50


@dataclass(frozen=True)
class Rule:
    """One way of writing that is not used here.

    ``pattern`` is searched in text whose lines are joined, without regard to case. ``instead`` is shown to the author. ``caught`` and
    ``allowed`` are the rule's own test.
    """

    name: str
    pattern: str
    instead: str
    caught: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    def find(self, text: str) -> Iterator[re.Match[str]]:
        """Every place of ``text`` that breaks the rule."""
        return re.finditer(self.pattern, text, re.IGNORECASE)


TEXT_RULES = (
    Rule(
        "is no <noun>",
        r"(?<!\bthere )(?<!\bhere )(?<!there can )(?<!there may )(?<!there must )(?<!there will )(?<!there would )(?<!there should )"
        r"\b(?:is|are|was|were|be|been|being) no (?!longer\b|more\b|less\b|fewer\b|other than\b|later than\b|earlier than\b|different\b)",
        "must be a …, or: is not a …",
        ("must be a key: it is no label key", "they are no\nfiles", "which was no JSON"),
        ("there is no notebook", "it is no longer stored", "There are no executions", "is no more than 5", "there must be no file"),
    ),
    Rule("mend", r"\bmend(?:s|ed|ing)?\b", "fix", ("Mend the notebook", "faults are mended"), ("amend the commit", "recommended")),
    Rule("for ever", r"\bfor ever\b", "forever, indefinitely, or: without end", ("it waits for ever",), ("forever",)),
    Rule(
        "leave away",
        r"\b(?:leav(?:e|es|ing)|left)(?: [\w-]+){0,3} away\b",
        "omit",
        ("leave it away", "leave --no-wait away", "the option is left away"),
        ("what is left of it", "it leaves the store"),
    ),
    Rule("to be had", r"\bbe had\b", "available", ("what is to be had", "as far as it can be had"), ("it had been",)),
    Rule(
        "will not have it",
        r"\bwill not have (?:it|them|this|that)\b",
        "rejects it",
        ("the server will not have it",),
        ("they will not have ended",),
    ),
    Rule("for want of", r"\bfor want of\b", "for lack of, or: because there is no …", ("killed for want of memory",)),
    Rule("dear", r"\bdear(?:er|est)?\b", "expensive, costly", ("half as dear", "a dear question")),
    Rule(
        "put off",
        r"\bput(?:s|ting)? (?:it |them |this )?off\b",
        "requeue, postpone",
        ("it is put off", "puts it off"),
        ("output offsets",),
    ),
    Rule("under way", r"\bunder way\b", "in progress, running", ("checks are under way",)),
    Rule(
        "looks at an execution",
        r"\blook(?:s|ed|ing)? at (?:it|them|an execution|every execution|one execution) again\b|\blooks that\b|\bto be looked at\b",
        "reconcile",
        ("looking at it again in 5 s", "Looks that failed", "executions due to be looked at"),
        ("look at the last cell", "it looks at the pod"),
    ),
    Rule("anew", r"\banew\b", "again, from scratch", ("reads everything anew",), ("a new key",)),
    Rule(
        "but for",
        r"\bbut for (?:(?:the|its|their|one|what|those|a)\b|`)",
        "except (for)",
        ("all but for the last", "nothing but for what it names"),
        ("not for this, but for that",),
    ),
    Rule(
        "JSON cannot say",
        r"\b(?:JSON|UTF-8|schema|YAML|Python) (?:can|cannot) say\b",
        "cannot represent, cannot express",
        ("a value which JSON cannot say", "what no schema can say"),
        ("a schema says",),
    ),
    Rule(
        "least severity",
        r"\bleast severity\b|(?<!at )\bmost items\b",
        "minimum severity, maximum number of items",
        ("Least severity that is logged",),
    ),
    Rule("of the documented form", r"\bof the documented form\b", "valid", ("it is not of the documented form",)),
)
MESSAGE_RULES = (
    Rule("whoever", r"\bwhoever\b", "anyone who, or the role: the caller, the administrator", ("whoever reaches this address",)),
    Rule(
        "nobody",
        r"(?<!\| )\bnobody\b(?! \|)",
        "no one, or the role: no caller",
        ("Nobody starts runs",),
        ("| Running | nobody | never |",),
    ),
    Rule("somebody", r"\bsomebody\b", "another client, another process", ("it is written by somebody else",)),
    Rule("longest run", r"\blongest (?:run|wait|time)\b", "maximum run time", ("Longest run.",), ("the longest of them",)),
    Rule("it is tried again", r"\bit is tried again\b|; tried again\b", "retrying", ("it failed; it is tried again in 5 s",)),
    Rule("at the moment", r"\bat the moment\b", "right now, currently", ("it cannot be reached at the moment",)),
    Rule("whole number", r"\bwhole number\b", "integer", ("must be a whole number",), ("the whole, numbered",)),
    Rule("looked at", r"\bnot yet looked at\b|\bis looked at\b", "reconciled", ("Created, not yet looked at.",)),
    Rule("take away", r"\btak(?:e|es|en) away\b|\btook away\b", "remove, delete", ("its pod was taken away",)),
)


def joined(text: str) -> str:
    """The text as one reads it: comment marks, the seams of adjoining string literals and ends of lines inside a paragraph are gone."""
    text = re.sub(r"(?<=[\w,;:.)} ])\"\s*\n\s*f?\"", "", text)
    text = re.sub(r"\n[ \t]*(?:#|//|>)[ \t]?(?=\S)", "\n", text)
    return re.sub(r"[ \t]*\n(?!\s*\n)[ \t]*", " ", text)


def in_scope(path: Path) -> bool:
    """Whether a tracked file is written here, in English."""
    name = path.relative_to(ROOT).as_posix()
    if name.startswith((*LEFT_OUT, *OTHER_SYSTEMS)):
        return False
    return path.suffix in SUFFIXES or path.name in NAMES


@cache
def texts() -> dict[str, str]:
    """Every file of the scope *text*, by name, joined."""
    return {path.relative_to(ROOT).as_posix(): joined(path.read_text()) for path in tracked() if in_scope(path)}


def literals(source: str) -> Iterator[str]:
    """The phrases among a module's string literals: docstrings and single words, such as names, are not; what an f-string fills in is ``{}``."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value and id(node) not in skipped:
            yield node.value


@cache
def messages() -> dict[str, str]:
    """Every file of the scope *messages*, by name, with what of it users read."""
    found = {}
    for name, text in texts().items():
        if name.endswith(".py") and name.startswith(PACKAGES):
            found[name] = "\n\n".join(joined(literal) for literal in literals((ROOT / name).read_text()))
        elif name.startswith("helm/") or name == "docs/reference/openapi.json" or name.endswith(".md"):
            found[name] = text
    return found


def broken(rule: Rule, scope: dict[str, str]) -> list[str]:
    """Where a rule is broken, with what stands around it."""
    return [
        f"{name}: …{text[max(0, match.start() - CONTEXT) : match.end() + CONTEXT]}…".replace("\n", " ")
        for name, text in scope.items()
        for match in rule.find(text)
    ]


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: rule.name)
def test_texts_keep_the_words(rule: Rule) -> None:
    assert broken(rule, texts()) == [], f"instead: {rule.instead}"


@pytest.mark.parametrize("rule", MESSAGE_RULES, ids=lambda rule: rule.name)
def test_messages_keep_the_words(rule: Rule) -> None:
    assert broken(rule, messages()) == [], f"instead: {rule.instead}"


@pytest.mark.parametrize("rule", [*TEXT_RULES, *MESSAGE_RULES], ids=lambda rule: rule.name)
def test_a_rule_catches_what_it_is_for_and_nothing_else(rule: Rule) -> None:
    assert rule.caught
    for text in rule.caught:
        assert list(rule.find(joined(text))), text
    for text in rule.allowed:
        assert not list(rule.find(joined(text))), text


def test_phrases_are_found_across_lines_comments_and_literals() -> None:
    source = textwrap.dedent('''
        """What is
        to be had."""
        # It waits for
        # ever.
        MESSAGE = "the name is "
        raise ValueError(
            f"{name} is "
            "no label key"
        )
    ''')
    found = {rule.name for rule in TEXT_RULES if list(rule.find(joined(source)))}
    assert found == {"is no <noun>", "for ever", "to be had"}


def test_messages_are_literals_and_no_docstrings() -> None:
    source = 'def f(name: str) -> None:\n    """Whoever asks."""\n    raise ValueError(f"{name}: " "nobody " f"has {name}")\n'
    assert "\n".join(literals(source)) == "{}: nobody has {}"


def test_the_scopes_are_what_they_say() -> None:
    text, read = texts(), messages()
    for name in (
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "docs/how-to/operate.md",
        "helm/podbook/values.yaml",
        "tests/repo/test_repository.py",
    ):
        assert len(text[name]) > 500, name
    for name in ("helm/podbook/files/crd.yaml", "helm/podbook/templates/NOTES.txt", "docs/reference/openapi.json"):
        assert len(read[name]) > 500, name
    assert all(any(name.startswith(package) for name in read) for package in PACKAGES)
    assert "CHANGELOG.md" not in text
