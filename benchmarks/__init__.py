"""Who compares: protocols, judges, statistics and reports.

Public names are loaded when they are first used.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from benchmarks.cohort import Study as Study
    from benchmarks.cohort import load_study as load_study
    from benchmarks.config import BenchmarkConfig as BenchmarkConfig
    from benchmarks.config import load_config as load_config
    from benchmarks.config import packaged_configs as packaged_configs
    from benchmarks.report.page import write_markdown as write_markdown
    from benchmarks.report.page import write_report as write_report
    from benchmarks.report.table import print_table as print_table
    from benchmarks.results import Results as Results
    from benchmarks.run import run_benchmark as run_benchmark

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cohort": ["Study", "load_study"],
        "config": ["BenchmarkConfig", "load_config", "packaged_configs"],
        "report.page": ["write_markdown", "write_report"],
        "report.table": ["print_table"],
        "results": ["Results"],
        "run": ["run_benchmark"],
    },
)
