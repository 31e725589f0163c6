"""Writing a report: one page that needs nothing beside itself, or Markdown beside its figures."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jinja2
import matplotlib as mpl
from PIL import Image

from benchmarks.report.content import figures, tables, words
from benchmarks.report.style import PAPER
from benchmarks.results import CONFIG, RUN, write_csv, write_json
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.results import Results

PAGE = "index.html"
MARKDOWN = "README.md"
MARKDOWN_DPI = 90
DIGITS = 7  # of numbers in tables


def write_report(results: Results, output: str | Path | None = None) -> Path:
    """Write figures, tables and a self-contained page.

    Parameters
    ----------
    results
        Of a benchmark.
    output
        A folder; default: that of the results. It gets ``index.html``, ``figures/*.png`` and
        ``tables/*.csv``.

    Returns
    -------
    Path
        The page.
    """
    folder = results.folder if output is None else Path(output)
    pictures = _write_figures_and_tables(results, folder)
    inlined = {
        name: "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
        for name, picture in pictures.items()
    }
    return write_page("report.html.j2", {**words(results), "figures": inlined}, folder / PAGE)


def write_markdown(results: Results, output: str | Path) -> Path:
    """Write the report as Markdown, for a folder that is kept under version control.

    Parameters
    ----------
    results
        Of a benchmark.
    output
        A folder. It gets ``README.md``, ``figures/*.png``, ``tables/*.csv``, ``config.json`` and
        ``run.json``.

    Returns
    -------
    Path
        The Markdown file.
    """
    folder = Path(output)
    _write_figures_and_tables(results, folder, dpi=MARKDOWN_DPI)
    write_json(results.config.model_dump(), folder / CONFIG)
    write_json(results.info, folder / RUN)
    return write_page("report.md.j2", words(results), folder / MARKDOWN)


def _write_figures_and_tables(
    results: Results, folder: Path, dpi: int | None = None
) -> dict[str, bytes]:
    for name, table in tables(results).items():
        write_csv(table, folder / "tables" / f"{name}.csv", digits=DIGITS)
    pictures = {}
    with mpl.rc_context(cast("Any", PAPER)):
        for name, figure in figures(results).items():
            pictures[name] = _png(figure, dpi)
            with replacing(folder / "figures" / f"{name}.png") as path:
                path.write_bytes(pictures[name])
    return pictures


def _png(figure: Figure, dpi: int | None) -> bytes:
    """Draw a figure in 256 colours: a third of the bytes, and colour bars in steps."""
    drawn, written = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi or "figure", metadata={"Software": None})
    picture = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(written, "png", optimize=True)
    return written.getvalue()


def write_page(template: str, content: dict[str, Any], page: Path) -> Path:
    """Fill in a template of this package and write the page whole."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks.report", "templates"),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(content)
    with replacing(page) as path:
        path.write_text(text, "utf-8")
    return page
