"""Reports: tables that add up, and a page that needs nothing beside itself."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks import BenchmarkConfig, Results, print_table, write_markdown, write_report
from benchmarks.contrasts import against_random, contrasts, verdict
from benchmarks.evidence import gains, patient_means, section_differences, summary
from benchmarks.report.content import budget_rows, words
from benchmarks.report.style import COLOURS, SPARE, agent_name, colours
from benchmarks.report.table import headline, scoreboard
from benchmarks.statistics import holm, sign_flip_test, t_interval, t_test
from benchmarks.units import Unit

AGENTS = ["random", "design", "learned:reward", "oracle"]
GAIN = {"random": 0.0, "design": 0.02, "learned:reward": -0.015, "oracle": 0.04}
BUDGETS = [0.05, 0.1, 0.2]
PATIENTS = "ABCDEFG"


def fake_results(folder: Path, patients: str = PATIENTS, **changes: Any) -> Results:
    """Scores with known gains; patient A has three sections, all others one."""
    config = BenchmarkConfig(
        **{
            "agents": AGENTS,
            "primary_agent": "design",
            "random_budgets": [0.4],
            "judges": ["gp", "ridge"],
            **changes,
        }
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
                        oracle = agent == "oracle"
                        base = ["new-slide", patient, patient, slide, agent, oracle, budget]
                        rows += [[*base, seed, judge, metric, value] for seed in range(2)]
            write_map(folder, patient, slide)
    columns = ["protocol", "fold", "patient", "slide", "agent", "oracle", "budget", "seed"]
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
    np.savez(Unit(fold, slide, 0.1).map_path(folder), **maps)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return fake_results(tmp_path_factory.mktemp("five"))


@pytest.fixture(scope="module")
def page(results: Results) -> Path:
    return write_report(results)


def test_a_patient_with_three_sections_counts_once(results: Results) -> None:
    means = patient_means(results.scores)
    own = means.query("agent == 'design' and budget == 0.1 and judge == 'gp'")
    assert own["patient"].tolist() == list(PATIENTS)
    sections = results.scores.query(
        "patient == 'A' and agent == 'design' and budget == 0.1 and judge == 'gp'"
    )
    assert own["value"].iloc[0] == pytest.approx(sections["value"].mean())
    row = summary(results).query("agent == 'design' and budget == 0.1 and judge == 'gp'").iloc[0]
    assert row["mean"] == pytest.approx(own["value"].mean())
    assert (row["low"], row["high"]) == pytest.approx(t_interval(own["value"]))


def test_wins_and_losses_are_told_apart(results: Results) -> None:
    verdicts = contrasts(results).set_index(["agent", "budget", "judge"])["verdict"]
    assert verdicts["design", 0.1, "gp"] == "better"
    assert verdicts["design", 0.2, "gp"] == "better"
    assert verdicts["learned:reward", 0.1, "gp"] == "worse"
    assert verdicts["learned:reward", 0.1, "environment"] == "worse"
    assert verdicts["learned:reward", 0.1, "ridge"] == "worse, unadjusted"
    assert verdicts["oracle", 0.1, "gp"] == "upper bound"


def test_every_question_is_a_family_and_holm_covers_each(results: Results) -> None:
    table = contrasts(results)
    sizes = table.groupby("family")["family_size"].agg(["size", "first"])
    assert sizes.loc["primary"].tolist() == [1, 1]
    assert sizes.loc["prediction"].tolist() == [5, 5]  # two agents, three budgets, one is primary
    assert sizes.loc["reward"].tolist() == [6, 6]
    for family in ("prediction", "reward"):
        own = table[table["family"] == family]
        np.testing.assert_allclose(own["p_holm"], holm(own["p"]))
    assert table[table["family"] == ""]["p_holm"].isna().all()
    assert set(table[table["oracle"]]["family"]) == {""}
    primary = table[table["family"] == "primary"].iloc[0]
    assert (primary["agent"], primary["budget"], primary["judge"]) == ("design", 0.1, "gp")
    assert primary["p_holm"] == primary["p"]


def test_the_primary_rival_can_be_the_better_of_several(tmp_path: Path) -> None:
    rivals = ["random", "learned:reward"]  # random is the better one: the other one loses .015
    primary = contrasts(fake_results(tmp_path, primary_against=rivals)).query("family == 'primary'")
    assert primary[["agent", "against"]].to_numpy().tolist() == [["design", "random"]]
    alone = contrasts(fake_results(tmp_path)).query("family == 'primary'").iloc[0]
    assert primary.iloc[0]["difference"] == alone["difference"]
    results = fake_results(tmp_path, primary_agent="learned:reward", primary_against=["design"])
    table = contrasts(results)
    row = table.query("family == 'primary'").iloc[0]
    means = patient_means(results.scores).query("judge == 'gp' and budget == 0.1")
    wide = means.pivot_table(index="patient", columns="agent", values="value")
    assert row["difference"] == pytest.approx((wide["learned:reward"] - wide["design"]).mean())
    assert row["verdict"] == "worse"
    assert len(against_random(results)) == len(table) - 1
    assert table.query("family == 'prediction'")["family_size"].unique().tolist() == [6]
    assert "minus A-optimal design at 10%" in headline(results)
    _, lines = budget_rows(results, "gp")
    assert any("difference to A-optimal design" in line[1] for line in lines)
    assert len(scoreboard(results)) == len(AGENTS)


def test_both_tests_stand_side_by_side(results: Results) -> None:
    means = patient_means(results.scores).query("judge == 'gp' and budget == 0.1")
    wide = means.pivot_table(index="patient", columns="agent", values="value")
    gain = (wide["design"] - wide["random"]).to_numpy()
    row = contrasts(results).query("family == 'primary'").iloc[0]
    assert row["p"] == pytest.approx(t_test(gain))
    assert row["p_sign_flip"] == pytest.approx(sign_flip_test(gain)) == 2 / 2**7


def test_holm_can_pass_with_the_patients_of_the_image_free_benchmark(tmp_path: Path) -> None:
    """Eight patients that all gain: sign flips alone could not pass a family this large."""
    table = contrasts(fake_results(tmp_path, "ABCDEFGH"))
    row = table.query("agent == 'design' and budget == 0.2 and judge == 'gp'").iloc[0]
    assert row["p_sign_flip"] * row["family_size"] > 0.03
    assert row["p_holm"] < 0.001


def test_a_primary_win_needs_the_interval_and_the_sign_flips() -> None:
    row = {"oracle": False, "patients": 8, "family": "primary", "metric": "pearson_per_gene"}
    row |= {"low": 0.001, "high": 0.02, "p": 0.04, "p_holm": 0.04}
    assert verdict(row | {"p_sign_flip": 0.04}) == "better"
    assert verdict(row | {"p_sign_flip": 0.06}) == "not worse"
    assert verdict(row | {"p_sign_flip": 0.01, "low": -0.02}) == "undecided"
    assert verdict(row | {"p_sign_flip": 0.01, "low": -0.02, "high": -0.01}) == "worse"


@pytest.mark.parametrize("patients", ["ABCDE", "ABC"])
def test_below_six_patients_there_is_no_inference(tmp_path: Path, patients: str) -> None:
    table = contrasts(fake_results(tmp_path, patients))
    assert table[["low", "high", "p", "p_sign_flip", "p_holm"]].isna().all().all()
    assert set(table["verdict"]) == {"no inference", "upper bound", "oracle"}


def test_three_patients_carry_no_inference(tmp_path: Path) -> None:
    results = fake_results(tmp_path, "ABC", title="<script>alert(1)</script>")
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
    assert board["rank_prediction"].tolist() == board["rank_reward"].tolist() == [1, 2, 3, 0]


def test_each_board_has_its_own_ranks(results: Results) -> None:
    turned = results.scores.copy()
    reward = turned["metric"] == "reward"
    turned.loc[reward, "value"] *= -1
    board = scoreboard(replace(results, scores=turned))
    assert board["rank_prediction"].tolist() == [1, 2, 3, 0]
    assert board["rank_reward"].tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(("is_terminal", "width"), [(False, 80), (True, 100), (True, 160)])
def test_the_table_is_printed_whole(results: Results, is_terminal: bool, width: int) -> None:
    console = Console(force_terminal=is_terminal, width=width, record=True, file=io.StringIO())
    print_table(results, console)
    text = console.export_text()
    assert "…" not in text
    for agent in AGENTS:
        assert agent_name(agent) in text
    assert ("Budget saving" in text) == (width != 100)
    assert headline(results).split(",")[0] in text


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


def test_evidence_of_every_board_and_judge_is_on_the_page(
    results: Results, page: Path, tmp_path: Path
) -> None:
    reward = contrasts(results).query("judge == 'environment' and agent == 'design'")
    ridge = contrasts(results).query("judge == 'ridge' and agent == 'design'")
    texts = [page.read_text("utf-8"), write_markdown(results, tmp_path).read_text("utf-8")]
    for text in texts:
        for row in [*reward.to_dict("records"), *ridge.to_dict("records")]:
            assert f"{row['low']:+.4f} to {row['high']:+.4f}" in text
            assert f"{row['bootstrap_low']:+.4f} to {row['bootstrap_high']:+.4f}" in text
        for said in (
            "Reward, every budget",
            "Every budget, judged by Ridge regression",
            "the other 5 contrasts",
            "these 6 contrasts",
            "not adjusted",
        ):
            assert said in text


@pytest.mark.parametrize(
    ("protocol", "info", "said"),
    [
        ("new-slide", {"cohort": True}, "could learn from the training patients"),
        ("new-slide", {"cohort": False}, "no judge was given one"),
        ("within-slide", {"cohort": False}, "on other patients"),
    ],
)
def test_the_page_says_what_judges_got(
    results: Results, tmp_path: Path, protocol: str, info: dict[str, bool], said: str
) -> None:
    config = results.config.model_copy(update={"protocol": protocol})
    own = replace(results, config=config, info=results.info | info)
    text = write_markdown(own, tmp_path).read_text("utf-8")
    assert said in text[text.index("Judges: ") :]


def test_contrasts_are_computed_once_per_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = fake_results(tmp_path)
    drawn: list[int] = []
    monkeypatch.setattr(
        "benchmarks.contrasts.bootstrap_interval", lambda _: drawn.append(1) or (0.0, 0.0)
    )
    write_report(results)
    write_markdown(results, tmp_path / "markdown")
    print_table(results, Console(file=io.StringIO()))
    assert len(drawn) == len(contrasts(results))


def test_an_oracle_of_any_name_is_an_upper_bound(results: Results) -> None:
    scores = results.scores.copy()
    scores.loc[scores["agent"] == "design", "oracle"] = True
    board = scoreboard(replace(results, scores=scores)).set_index("agent")
    assert board["rank_prediction"]["design"] == 0
    assert board["verdict"]["design"] == "upper bound"


def test_episodes_of_earlier_versions_know_the_built_in_oracles(results: Results) -> None:
    episode = {
        "protocol": "new-slide", "fold": "A", "patient": "A", "slide": "A1", "budget": 0.1,
        "seed": 0, "scores": {"gp": {"mse": 1.0}}, "seconds": {},
    }  # fmt: skip
    episodes = [{**episode, "agent": agent} for agent in ("random", "oracle")]
    read = Results.of_episodes(results.config, episodes, {}, results.folder)
    assert read.oracles == {"oracle"}


def test_saved_agents_of_one_file_name_keep_different_names() -> None:
    agents = ["random", "runs/one/agent.safetensors", "runs/two/agent.safetensors", "x.safetensors"]
    config = BenchmarkConfig(agents=agents, primary_agent=agents[1])
    names = [agent_name(agent, config) for agent in agents]
    assert names == ["Random", "one/agent", "two/agent", "x"]


def test_agents_of_unknown_origin_are_named_under_the_table(tmp_path: Path) -> None:
    results = fake_results(tmp_path)
    assert "Origin not checked" not in write_markdown(results, tmp_path / "known").read_text(
        "utf-8"
    )
    foreign = {"learned:reward": "runs/mine.safetensors"}
    scores = results.scores.replace({"agent": foreign})
    for path in (tmp_path / "units").iterdir():
        with np.load(path) as maps:
            renamed = {key.replace(*next(iter(foreign.items()))): maps[key] for key in maps}
        np.savez(path, **renamed)
    config = results.config.model_copy(
        update={"agents": ["random", "design", "runs/mine.safetensors", "oracle"]}
    )
    own = replace(results, config=config, scores=scores)
    text = write_markdown(own, tmp_path / "unknown").read_text("utf-8")
    assert "Origin not checked" in text
    assert "not known here: mine." in text


def test_sections_show_both_boards_and_every_predictor(results: Results, page: Path) -> None:
    prediction, reward, judges = words(results)["sections"]
    n_sections = results.scores["slide"].nunique()
    for _, header, rows in (prediction, reward, judges):
        assert len(rows) == n_sections
        assert {len(row) for row in rows} == {len(header)}
    assert prediction[0] != reward[0]
    first = judges[2][0]
    scores = results.scores
    own = scores[
        (scores["agent"] == "random")
        & (scores["metric"] == "pearson_per_gene")
        & (scores["patient"] == first[0])
        & (scores["slide"] == first[1])
        & (scores["budget"] == results.config.primary_budget)
    ]
    means = own.groupby("judge")["value"].mean()
    assert first[2:] == [f"{means[judge]:.4f}" for judge in results.config.judges]
    assert page.read_text("utf-8").count("<h3>") >= 3
