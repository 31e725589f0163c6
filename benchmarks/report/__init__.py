"""Reports: a console table, figures, and one self-contained page."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from benchmarks.report.html import write_report as write_report
    from benchmarks.report.table import print_table as print_table

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"html": ["write_report"], "table": ["print_table"]}
)
