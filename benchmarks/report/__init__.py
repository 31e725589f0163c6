"""Reports: a console table, figures, and one self-contained page."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from benchmarks.report.page import write_markdown as write_markdown
    from benchmarks.report.page import write_report as write_report
    from benchmarks.report.table import print_table as print_table

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"page": ["write_markdown", "write_report"], "table": ["print_table"]}
)
