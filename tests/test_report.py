"""Reports: tables that add up, and a page that needs nothing beside itself."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks import BenchmarkConfig, Results, print_table, write_markdown, write_report
from benchmarks.evidence import contrasts, gains, patient_means, section_differences, summary
from benchmarks.report.style import COLOURS, SPARE, agent_name, colours
from benchmarks.report.table import headline, scoreboard
from benchmarks.statistics import holm, t_interval

AGENTS = ["random", "design", "learned:reward", "oracle"]
GAIN = {"random": 0.0, "design": 0.02, "learned:reward": -0.015, "oracle": 0.04}
BUDGETS = [0.05, 0.1, 0.2]


def fake_results(folder: Path, patients: str = "ABCDE", **changes: Any) -> Results:
    """Scores with known gains; patient A has three sections, all others one."""
    config = BenchmarkConfig(
        agents=AGENTS,
        primary_agent="design",
        random_budgets=[0.4],
        judges=["gp", "ridge"],
        **changes,
    )
    rng = np.random.default_rng(0)
    rows = []
    for patient in patients:
        for section in range(3 if patient == "A" else 1):
            slide = f"{patient}{section + 1}"
            noise = {agent: 0.003 * rng.normal() for agent in AGENTS}
            for budget in [*BUDGETS, 0.4]:
                for agent in AGENTS if budget in BUDGETS else ["random"]:
                    for judge in ("gp", "ridge", "environment"):
                        metric = "reward" if judge == "environment" else "pearson_per_gene"
                        value = 0.1 + 0.5 * budget + GAIN[agent] + noise[agent]
                        base = ["new-slide", patient, patient, slide, agent, budget]
                        rows += [[*base, seed, judge, metric, value] for seed in range(2)]
            write_map(folder, patient, slide)
    columns = ["protocol", "fold", "patient", "slide", "agent", "budget", "seed"]
    frame = pd.DataFrame(rows, columns=[*columns, "judge", "metric", "value"])
    info = {
        "scr2st": "1",
        "python": "3",
        "packages": {"numpy": "2"},
        "machine": "a machine",
        "cores": 1,
        "jobs": 1,
        "digest": "d",
        "units_in_this_run": 1,
        "seconds_of_this_run": 1.0,
    }
    return Results(config, frame, pd.DataFrame(), info, folder)


def write_map(folder: Path, fold: str, slide: str) -> None:
    side = 8
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 100.0
    truth = np.sin(grid[:, 0] / 200).astype(np.float32)
    maps: dict[str, Any] = {
        "gene": "ERBB2",
        "coordinates": grid,
        "pitch": 100.0,
        "truth": truth,
        "measurable": np.ones(side**2, bool),
        "test_part": np.arange(0, side**2, 4),
    }
    for agent in AGENTS:
        maps[f"picks/{agent}"] = np.arange(1, side**2, 9)
        for judge in ("gp", "ridge"):
            maps[f"predicted/{agent}/{judge}"] = truth * 0.5
    (folder / "units").mkdir(exist_ok=True)
    np.savez(folder / "units" / f"{fold}-{slide}-0.1.npz", **maps)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return fake_results(tmp_path_factory.mktemp("five"))


@pytest.fixture(scope="module")
def page(results: Results) -> Path:
    return write_report(results)


def test_a_patient_with_three_sections_counts_once(results: Results) -> None:
    means = patient_means(results.scores)
    own = means.query("agent == 'design' and budget == 0.1 and judge == 'gp'")
    assert own["patient"].tolist() == list("ABCDE")
    sections = results.scores.query(
        "patient == 'A' and agent == 'design' and budget == 0.1 and judge == 'gp'"
    )
    assert own["value"].iloc[0] == pytest.approx(sections["value"].mean())
    row = summary(results).query("agent == 'design' and budget == 0.1 and judge == 'gp'").iloc[0]
    assert row["mean"] == pytest.approx(own["value"].mean())
    assert (row["low"], row["high"]) == pytest.approx(t_interval(own["value"]))


def test_wins_and_losses_are_told_apart(results: Results) -> None:
    table = contrasts(results)
    verdicts = table.set_index(["agent", "budget", "judge"])["verdict"]
    assert verdicts["design", 0.1, "gp"] == "better"
    assert verdicts["learned:reward", 0.1, "gp"] == "worse, before Holm"
    assert verdicts["oracle", 0.1, "gp"] == "upper bound"


def test_one_contrast_is_primary_and_holm_covers_the_rest(results: Results) -> None:
    table = contrasts(results)
    assert table["primary"].sum() == 1
    rest = table[~table["primary"] & ~table["oracle"]]
    np.testing.assert_allclose(rest["p_holm"], holm(rest["p"]))
    primary = table[table["primary"]].iloc[0]
    assert primary["p_holm"] == primary["p"] == pytest.approx(2 / 2**5)
    assert table[table["oracle"]]["p_holm"].isna().all()


def test_three_patients_carry_no_inference(tmp_path: Path) -> None:
    results = fake_results(tmp_path, "ABC", title="<script>alert(1)</script>")
    table = contrasts(results)
    assert table[["low", "high", "p", "p_holm"]].isna().all().all()
    assert "no inference" in headline(results)
    sections = section_differences(results).query("agent == 'design' and judge == 'gp'")
    assert set(sections["slide"]) == {"A1", "A2", "A3", "B1", "C1"}
    html = write_report(results).read_text("utf-8")
    assert "no inference" in html
    assert "<script>" not in html


def test_savings_and_gaps_are_ratios_of_means(results: Results) -> None:
    own = gains(results).query("agent == 'design' and budget == 0.1 and judge == 'gp'").iloc[0]
    assert own["oracle_gap_closed"] == pytest.approx(0.5, abs=0.15)
    needed = 0.1 + (own["score"] - own["random"]) / 0.5
    assert own["budget_saving"] == pytest.approx(needed / 0.1, rel=1e-6)
    oracle = gains(results).query("agent == 'oracle' and budget == 0.2 and judge == 'gp'").iloc[0]
    assert oracle["bound"] == "="


def test_the_oracle_is_last_and_has_no_rank(results: Results) -> None:
    board = scoreboard(results)
    assert board["agent"].tolist() == ["design", "random", "learned:reward", "oracle"]
    assert board["rank"].tolist() == [1, 2, 3, 0]


def test_the_table_is_printed_whole(results: Results) -> None:
    console = Console(width=132, record=True, file=io.StringIO())
    print_table(results, console)
    text = console.export_text()
    assert "…" not in text
    for agent in AGENTS:
        assert agent_name(agent) in text


def test_the_page_stands_alone(page: Path) -> None:
    html = page.read_text("utf-8")
    assert html.count("data:image/png;base64,") == 4
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", html)
    assert "http" not in html
    assert "better" in html
    figures = sorted(path.name for path in (page.parent / "figures").iterdir())
    assert figures == ["curves.png", "differences.png", "predictions.png", "purchases.png"]
    tables = {path.stem for path in (page.parent / "tables").iterdir()}
    assert tables == {"summary", "patients", "contrasts", "sections", "gains"}


def test_a_report_is_the_same_twice(results: Results, page: Path, tmp_path: Path) -> None:
    assert write_report(results, tmp_path).read_bytes() == page.read_bytes()


def test_colours_are_distinct_and_do_not_depend_on_the_company() -> None:
    mixed = ["random", "module:One", "design", "module:Two"]
    palette = colours(mixed)
    assert len(set(palette.values())) == 4
    assert palette["design"] == colours(["design"])["design"] == COLOURS["design"]
    assert len(set(SPARE)) == len(SPARE)


def test_the_markdown_report_shows_its_figures_and_every_agent(
    results: Results, tmp_path: Path
) -> None:
    text = write_markdown(results, tmp_path).read_text("utf-8")
    linked = re.findall(r"\]\((figures/\S+)\)", text)
    assert len(linked) == 4
    assert all((tmp_path / name).stat().st_size > 1000 for name in linked)
    for agent in results.config.agents:
        assert f"| {agent_name(agent, results.config)} |" in text
    assert (tmp_path / "tables" / "summary.csv").is_file()
    assert (tmp_path / "config.json").is_file()


def test_tables_of_the_markdown_report_are_tables(results: Results, tmp_path: Path) -> None:
    lines = write_markdown(results, tmp_path).read_text("utf-8").splitlines()
    for index, line in enumerate(lines):
        if line.startswith("|---"):
            columns = line.count("|")
            assert lines[index - 1].count("|") == columns
            assert lines[index + 1].count("|") == columns
            assert not lines[index - 2]
