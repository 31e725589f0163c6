"""Reading the project's pages in tests: what they print is what the code does."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def page(path: str) -> str:
    """The text of a page, by its path from the root of the project."""
    return (ROOT / path).read_text("utf-8")


def python_blocks(text: str) -> list[str]:
    """The Python examples of a page, in order."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    heading = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert heading is not None, title
    rest = text[heading.end() :]
    following = re.search(rf"^#{{1,{len(heading[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def table(text: str, first_column: str) -> list[dict[str, str]]:
    """The rows of the table whose first column has this title; cells as they are printed."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    titles = cells(lines[start])
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(titles, cells(line), strict=True)))
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
