"""Commands with their answers, as the documentation shows them, and whether an answer is the one that was shown."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Step", "pattern", "steps"]

_VALUE = re.compile(r"(?<=\s)(?:\d+(?:\.\d+)?[smhd]?)+(?=\s|$)")
"""Ages and durations in a table that kubectl prints."""


@dataclass(frozen=True)
class Step:
    """One command and what the page shows for it."""

    command: str
    shown: str


def steps(page: str, kind: str = "console") -> Iterator[Step]:
    """The steps of a page, in its order.

    Args:
        page: Markdown.
        kind: what the code blocks are marked with: ``console`` for the embedded server, ``console cluster`` for a cluster.
    """
    for block in re.findall(rf"^```{kind}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            document = "<<'END'" in lines[0]
            end = lines.index("END") if document else next(number for number, line in enumerate(lines) if not line.endswith("\\"))
            yield Step("\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :]).strip())


def pattern(shown: str) -> re.Pattern[str]:
    """What was shown, where names and times are new each time, and … stands for anything.

    In the lines of a table (columns two blanks apart) the numbers and the width of the columns stand for any others.
    """
    return re.compile("\n".join(_line(line) for line in shown.splitlines()))


def _line(shown: str) -> str:
    table = len(re.findall(r"\S {2,}(?=\S)", shown)) >= 2
    text = re.escape(_VALUE.sub("…", shown) if table else shown).replace("…", r"[\s\S]*?")
    text = re.sub(r"(?<=\\-)[a-z2-7]{16}\b", "[a-z2-7]{16}", text)
    text = re.sub(r"\d{4}\\-\d\d\\-\d\dT[\d:.\\]+Z", r"\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z", text)
    return re.sub(r"(?:\\ )+", r" +", text) + " *" if table else text
