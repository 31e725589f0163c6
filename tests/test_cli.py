"""The command line: it helps, does the job on files, and answers wrong input with one line."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from conftest import toy_reference, toy_slide
from numpy.typing import NDArray
from PIL import Image

import scr2st_env
from scr2st import cli
from scr2st.commands.benchmark import listed
from scr2st.lock import alone_in
from scr2st.many_values import one_value_each
from scr2st.spaces import must_share_a_space, stated_space
from scr2st.stages import no_claim_on_failure
from scr2st_env.errors import InputError

COMMANDS = ("demo", "features", "embed", "train", "benchmark", "info")
HEAVY = ("torch", "anndata", "sklearn", "matplotlib", "pandas", "stable_baselines3", "skimage")
CELL_TYPES = ["a", "b", "c"]


def section(patient: str = "s1") -> anndata.AnnData:
    """The toy slide as a user keeps it: 64 spots, 80 genes, features, embedding, cell types."""
    slide = toy_slide("s1")
    hidden = slide.hidden
    assert hidden is not None
    adata = counted(np.asarray(hidden.types), slide.public.spot_names.tolist(), seed=1)
    adata.obs["patient"] = patient
    adata.obsm["spatial"] = np.array(slide.public.coordinates)
    adata.obsm["X_patch"] = np.array(slide.public.features)
    adata.obsm["X_cell"] = np.array(hidden.embedding)
    adata.obsm["X_type"] = np.array(hidden.types)
    adata.uns["X_type_names"] = CELL_TYPES
    adata.uns["X_patch_encoder"] = "toy"
    return adata


def atlas() -> anndata.AnnData:
    """The toy reference as a user keeps it: 120 cells of three types, 80 genes, embedded."""
    reference = toy_reference()
    types = np.eye(len(CELL_TYPES))[reference.cell_types]
    adata = counted(types, [f"c{index}" for index in range(len(types))], seed=2)
    adata.obs["cell_type"] = [CELL_TYPES[code] for code in reference.cell_types]
    adata.obsm["X_cell"] = np.array(reference.embedding)
    return adata


def counted(types: NDArray[Any], names: list[str], seed: int) -> anndata.AnnData:
    """Counts of mixtures of three cell types, which express 80 genes differently."""
    programs = np.random.default_rng(0).gamma(1.0, size=(len(CELL_TYPES), 80))
    return anndata.AnnData(
        np.random.default_rng(seed).poisson(5 * types @ programs).astype(np.float32),
        obs=pd.DataFrame(index=names),
        var=pd.DataFrame(index=[f"g{index}" for index in range(80)]),
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with s1.h5ad, s2.h5ad and atlas.h5ad, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    section().write_h5ad("s1.h5ad")
    section("s2").write_h5ad("s2.h5ad")
    atlas().write_h5ad("atlas.h5ad")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)])
def test_help_loads_nothing_heavy_and_fits_the_terminal(arguments: list[str]) -> None:
    script = (
        "import sys; from scr2st.cli import main; status = main(sys.argv[1:]); "
        f"print('loaded', *[name for name in {HEAVY} if name in sys.modules]); sys.exit(status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
    )
    assert result.returncode == 0, result.stderr
    *helped, loaded = result.stdout.splitlines()
    assert loaded == "loaded"
    assert "Usage: scr2st" in "".join(helped[:3])
    assert all(len(line) <= 100 for line in helped)


def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f" {command} " in text for command in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["train"], ["info"]])
def test_a_command_without_arguments_shows_help_and_no_empty_error(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == cli.WRONG_INPUT
    shown = capfd.readouterr()
    assert "Usage: scr2st" in shown.out
    assert "error" not in shown.err


def test_an_empty_string_empties_a_list() -> None:
    assert listed("random_budgets", [""]) == []
    assert listed("sections", [""]) == []
    assert listed("budgets", ["0.1", "0.2"]) == [0.1, 0.2]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"scr2st {scr2st_env.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("--slides A B -o C", "--slides A --slides B -o C"),
        ("--slides A --slides B C", "--slides A --slides B --slides C"),
        ("--slides=A B", "--slides=A --slides B"),
        ("X --slides A -- B", "X --slides A -- B"),
        ("--seed 1 --slides A", "--seed 1 --slides A"),
        ("--seed 1 A", "--seed 1 A"),
    ],
)
def test_an_option_takes_several_values_in_one_go(typed: str, understood: str) -> None:
    assert " ".join(one_value_each(typed.split(), {"--slides"})) == understood


def test_every_field_of_a_benchmark_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.config import BenchmarkConfig

    cli.main(["benchmark", "--help"])
    text = capsys.readouterr().out
    for field in BenchmarkConfig.model_fields:
        assert f"--{field.replace('_', '-')} " in text


# --- wrong input --------------------------------------------------------------------------------

Change = Callable[[], None]


def rewrite(path: str, change: Callable[[anndata.AnnData], Any]) -> Change:
    def apply() -> None:
        adata = anndata.read_h5ad(path)
        changed = change(adata)
        (adata if changed is None else changed).write_h5ad(path)

    return apply


def set_count(value: float) -> Callable[[anndata.AnnData], None]:
    def change(adata: anndata.AnnData) -> None:
        adata.X[3, 4] = value

    return change


def without(key: str) -> Callable[[anndata.AnnData], None]:
    def change(adata: anndata.AnnData) -> None:
        del adata.obsm[key]

    return change


def foreign_genes(adata: anndata.AnnData) -> None:
    adata.var_names = [f"other{index}" for index in range(adata.n_vars)]


def same_names(adata: anndata.AnnData) -> None:
    adata.obs_names = ["twin", *adata.obs_names[:1], "twin", *adata.obs_names[3:]]


def never_measured(adata: anndata.AnnData) -> anndata.AnnData:
    return anndata.AnnData(obs=adata.obs, obsm={"spatial": adata.obsm["spatial"]})


def write(path: str, content: str | bytes) -> Change:
    def apply() -> None:
        Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return apply


def make_folder(path: str) -> Change:
    return lambda: Path(path).mkdir()


def nothing() -> None:
    """Change nothing."""


TRAIN = "train --slides s1.h5ad s2.h5ad --reference atlas.h5ad -o agent.safetensors --states 10"
EMBED = "embed s1.h5ad s2.h5ad --reference atlas.h5ad"
BENCHMARK = "benchmark --slides s1.h5ad s2.h5ad --reference atlas.h5ad --n-states 10"
WRONG = [
    # what is wrong, how it comes about, command, words of the answer
    ("missing slide", nothing, "features nowhere.h5ad", "nowhere.h5ad does not exist"),
    ("missing slide", nothing, "info nowhere.h5ad", "nowhere.h5ad does not exist"),
    ("missing slide", nothing, f"{TRAIN} --slides no.h5ad", "no.h5ad does not exist"),
    (
        "missing slide",
        nothing,
        "benchmark --slides no.h5ad --reference atlas.h5ad",
        "no.h5ad does not exist",
    ),
    ("missing reference", nothing, "embed s1.h5ad --reference no.h5ad", "no.h5ad does not exist"),
    ("folder", make_folder("here"), "info here", "here is a folder"),
    ("folder", make_folder("here"), "features here", "here is a folder"),
    ("folder", make_folder("here"), f"{TRAIN} --slides here", "here is a folder"),
    ("live slide", rewrite("s2.h5ad", never_measured), EMBED, "needs no embedding"),
    ("missing agent", nothing, "info agent.safetensors", "agent.safetensors does not exist"),
    ("not an AnnData", write("s1.h5ad", "a,b\n1,2\n"), "info s1.h5ad", "not an AnnData"),
    ("not an AnnData", write("s1.h5ad", "a,b\n1,2\n"), EMBED, "s1.h5ad is not an AnnData"),
    ("not an AnnData", write("s2.h5ad", "a,b\n1,2\n"), TRAIN, "s2.h5ad is not an AnnData"),
    ("cut short", write("a.safetensors", b"\x10\0"), "info a.safetensors", "no whole safetensors"),
    ("no features", rewrite("s2.h5ad", without("X_patch")), TRAIN, "run 'scr2st features"),
    ("no embedding", rewrite("s2.h5ad", without("X_cell")), TRAIN, "run 'scr2st embed"),
    ("no cell types", rewrite("s2.h5ad", without("X_type")), TRAIN, "run 'scr2st embed"),
    ("unembedded atlas", rewrite("atlas.h5ad", without("X_cell")), TRAIN, "run 'scr2st embed"),
    ("no positions", rewrite("s1.h5ad", without("spatial")), TRAIN, "no obsm['spatial']"),
    ("no label", nothing, f"{EMBED} --cell-type kind", "no obs['kind']"),
    ("no shared genes", rewrite("s2.h5ad", foreign_genes), EMBED, "gene"),
    ("NaN counts", rewrite("s2.h5ad", set_count(np.nan)), EMBED, "NaN"),
    ("NaN counts", rewrite("s2.h5ad", set_count(np.nan)), TRAIN, "NaN"),
    ("negative counts", rewrite("s2.h5ad", set_count(-1)), EMBED, "negative"),
    ("negative counts", rewrite("s2.h5ad", set_count(-1)), TRAIN, "negative"),
    ("fractions", rewrite("s2.h5ad", set_count(0.5)), TRAIN, "not raw counts"),
    ("duplicated spots", rewrite("s2.h5ad", same_names), TRAIN, "'twin' occurs more than once"),
    ("same slide twice", nothing, "embed s1.h5ad s1.h5ad --reference atlas.h5ad", "two inputs"),
    ("no picture", nothing, "features s1.h5ad", "s1.h5ad has 0 libraries in uns['spatial']"),
    ("no patches", nothing, "features s1.h5ad --patches p.npz", "p.npz does not exist"),
    ("patches and image", nothing, "features s1.h5ad --patches p --image i", "not both"),
    ("image of two slides", nothing, "features s1.h5ad s2.h5ad --image i.jpg", "one slide"),
    ("unknown encoder", nothing, "features s1.h5ad --encoder nope", "nope"),
    ("budget 0", nothing, f"{TRAIN} --budget 0", "budget"),
    ("negative budget", nothing, f"{TRAIN} --budget=-1", "budget"),
    ("budget above N", nothing, f"{TRAIN} --budget 65", "budget"),
    ("budget that is no number", nothing, f"{TRAIN} --budget much", "--budget"),
    ("budget of no spot", nothing, f"{TRAIN} --budget 0.001", "64 spots of slide 's1' is less"),
    ("second budget of no spot", nothing, f"{TRAIN} --budget 0.1 0.001", "--budget 0.001 of the"),
    ("budget named twice", nothing, f"{TRAIN} --budget 0.1 0.1", "names one twice"),
    ("judged on a file that is not there", nothing, f"{TRAIN} --evaluation-slides no", "no"),
    ("fraction of a spot", nothing, f"{TRAIN} --budget 1.5", "neither a share"),
    ("no steps", nothing, f"{TRAIN} --steps 0", "--steps"),
    ("negative seed", nothing, f"{TRAIN} --seed -1", "--seed"),
    ("huge seed", nothing, f"{TRAIN} --seed 99999999999999", "--seed"),
    ("empty round", nothing, f"{TRAIN} --round-size 0", "--round-size"),
    ("one state", nothing, f"{TRAIN} --states 1", "--states"),
    ("no components", nothing, f"{EMBED} --components 0", "--components"),
    ("no genes", nothing, f"{EMBED} --genes 0", "--genes"),
    ("no processes", nothing, "features s1.h5ad --jobs 0", "--jobs 0"),
    ("negative patch", nothing, "features s1.h5ad --patch-um -5", "--patch-um -5"),
    ("cut patches", nothing, "features s1.h5ad --patches p --patch-um 5", "leave it out"),
    ("more states than cells", nothing, f"{TRAIN} --states 500", "120 cells"),
    ("unknown objective", nothing, f"{TRAIN} --objective fun", "fun"),
    ("agent without suffix", nothing, TRAIN.replace(".safetensors", ""), ".safetensors"),
    ("output is a folder", make_folder("agent.safetensors"), TRAIN, "is a folder"),
    ("output under a file", nothing, TRAIN.replace("-o ", "-o s1.h5ad/"), "s1.h5ad"),
    ("output under a file", nothing, f"{EMBED} -o s1.h5ad", "s1.h5ad"),
    ("output over the input", nothing, f"{EMBED} -o .", "never overwritten"),
    ("output over the input", nothing, "features s1.h5ad -o .", "never overwritten"),
    ("output under a file", nothing, "demo --quick -o s1.h5ad", "s1.h5ad"),
    ("unknown agent", nothing, f"{BENCHMARK} --agents random design nope", "nope"),
    ("unknown judge", nothing, f"{BENCHMARK} --judges gp nope", "nope"),
    ("unknown protocol", nothing, f"{BENCHMARK} --protocol nope", "protocol"),
    ("share of 0", nothing, f"{BENCHMARK} --budgets 0", "budgets"),
    ("share that is no number", nothing, f"{BENCHMARK} --budgets much", "--budgets"),
    ("no budgets", nothing, f"{BENCHMARK} --budgets=", "budget"),
    ("share above 1", nothing, f"{BENCHMARK} --budgets 1.5", "budgets"),
    ("no configuration", nothing, "benchmark --config no.toml", "no.toml is no file"),
    ("unknown field", write("c.toml", "colour = 1\n"), "benchmark --config c.toml", "colour"),
    ("wrong type", write("c.toml", "seeds = 'x'\n"), "benchmark --config c.toml", "seeds"),
    ("bad TOML", write("c.toml", "seeds = = 1\n"), "benchmark --config c.toml", "not TOML"),
    ("unknown command", nothing, "sample s1.h5ad", "sample"),
    ("unknown flag", nothing, "info s1.h5ad --colour", "--colour"),
    ("missing option", nothing, "embed s1.h5ad", "--reference"),
    ("missing option", nothing, "train --slides s1.h5ad -o a.safetensors", "--reference"),
    ("fitted twice", nothing, f"{EMBED} --embedder embedded", "fitted already"),
    ("no embedder", nothing, "embed s1.h5ad --embedder here", "here/"),
]


@pytest.mark.parametrize(
    ("change", "command", "words"),
    [case[1:] for case in WRONG],
    ids=[f"{name}-{command.split()[0]}" for name, _, command, _ in WRONG],
)
def test_wrong_input_is_answered_by_one_line_and_leaves_nothing_behind(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    change: Change,
    command: str,
    words: str,
) -> None:
    change()
    before = contents(folder)
    capfd.readouterr()
    assert cli.main(command.split()) == cli.WRONG_INPUT
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("scr2st: error: ")
    assert words in line
    assert contents(folder) == before


# --- unforeseen ends ----------------------------------------------------------------------------


def test_a_defect_keeps_its_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lines: object) -> None:
        raise ZeroDivisionError(lines)

    monkeypatch.setattr("scr2st.commands.info.show", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["info", str(folder / "s1.h5ad")])


def test_an_interruption_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(lines: object) -> None:
        raise KeyboardInterrupt(lines)

    monkeypatch.setattr("scr2st.commands.info.show", interrupted)
    assert cli.main(["info", str(folder / "s1.h5ad")]) == cli.INTERRUPTED
    assert capfd.readouterr().err == "scr2st: interrupted\n"


@pytest.mark.parametrize(
    "command", [[Path(sys.executable).with_name("scr2st")], [sys.executable, "-m", "scr2st"]]
)
def test_the_installed_command_exits_with_the_status(
    command: list[str | Path], tmp_path: Path
) -> None:
    whole = [*command, "info", "nowhere.h5ad"]
    result = subprocess.run(whole, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == cli.WRONG_INPUT
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("earlier", [None, "earlier content"])
def test_a_killed_write_leaves_no_half_file(tmp_path: Path, earlier: str | None) -> None:
    target = tmp_path / "agent.safetensors"
    if earlier is not None:
        target.write_text(earlier)
    script = (
        "import sys, time; from scr2st_env.files import replacing\n"
        "with replacing(sys.argv[1]) as path:\n"
        "    with path.open('w') as file:\n"
        "        file.write('half'); file.flush(); print('half', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    assert (target.read_text() if target.exists() else None) == earlier


def fail_with(run: Path, files: Mapping[Path, str]) -> None:
    """Write files as a run does that stops at wrong input."""
    with pytest.raises(InputError, match="wrong"), alone_in(run), no_claim_on_failure(run):
        write_and_fail(files)


def write_and_fail(files: Mapping[Path, str]) -> None:
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    raise InputError("wrong")


def test_a_failed_run_removes_its_own_claim_and_nothing_of_other_runs(tmp_path: Path) -> None:
    mine, other = tmp_path / "results" / "mine", tmp_path / "results" / "other"
    fail_with(mine, {mine / "config.json": "{}", other / "config.json": "{}"})
    assert set(contents(tmp_path / "results")) == {"other", "other/config.json"}
    fail_with(other, {})
    assert (other / "config.json").exists()
    grown = mine / "tissue" / "1x" / "p7s1.h5ad"
    fail_with(mine, {mine / "config.json": "{}", grown: "kept for the corrected run"})
    assert set(contents(mine)) == {"tissue", "tissue/1x", "tissue/1x/p7s1.h5ad"}
    shutil.rmtree(mine)
    fail_with(mine, {mine / "config.json": "{}", mine / "units" / "C2.jsonl": "computed"})
    assert set(contents(mine)) == {"config.json", "units", "units/C2.jsonl"}


def test_two_runs_are_never_at_work_in_one_folder(tmp_path: Path) -> None:
    run = tmp_path / "results" / "mine"
    with alone_in(run):
        before = contents(tmp_path)
        with pytest.raises(InputError, match="another run is at work"), alone_in(run):
            pass
        assert contents(tmp_path) == before
    assert contents(tmp_path) == {}

    run.mkdir(parents=True)
    (run / ".running").write_text(f"{dead_process()} {socket.gethostname()}")
    with alone_in(run):
        assert (run / ".running").read_text() == f"{os.getpid()} {socket.gethostname()}"
    (run / ".running").write_text(f"{dead_process()} another-machine")
    with pytest.raises(InputError, match="another run is at work"), alone_in(run):
        pass


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


MINE = """
import os, pathlib, time
def darkest(observation, action_mask, rng):
    pathlib.Path("playing").mkdir(exist_ok=True)
    (pathlib.Path("playing") / str(os.getpid())).touch()
    time.sleep({pause})
    return int(action_mask.argmax())
"""
OWN_AGENT = (
    "benchmark --slides s1.h5ad s2.h5ad --reference atlas.h5ad --n-states 10 --budgets 0.1 "
    "--agents random mine:darkest --primary-agent mine:darkest --judges mean --primary-judge mean "
    "--seeds 1 --n-genes 20 --n-top-genes 5 --jobs 2 -o run"
)


def test_an_agent_from_a_file_of_the_working_directory_plays_in_worker_processes(
    folder: Path,
) -> None:
    (folder / "mine.py").write_text(MINE.format(pause=0))
    script = "import sys; sys.path.remove(''); from scr2st.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", script, *OWN_AGENT.split()]
    environment = os.environ | {"PYTHONPATH": str(Path(scr2st_env.__file__).parents[1])}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    assert "mine:darkest" in (folder / "run" / "results.csv").read_text()


def test_a_terminated_run_ends_its_workers_and_gives_the_folder_free(folder: Path) -> None:
    (folder / "mine.py").write_text(MINE.format(pause=60))
    environment = os.environ | {"PYTHONPATH": str(Path(scr2st_env.__file__).parents[1])}
    command = [sys.executable, "-m", "scr2st.cli", *OWN_AGENT.split()]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE) as run:
        until(lambda: (folder / "playing").is_dir() and any((folder / "playing").iterdir()))
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == cli.INTERRUPTED
        assert run.stderr is not None
        assert run.stderr.read().endswith(b"scr2st: interrupted\n")
    workers = [int(path.name) for path in (folder / "playing").iterdir()]
    until(lambda: not any(is_alive(worker) for worker in workers))
    assert not (folder / "run" / ".running").exists()


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def is_alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


# --- the job ------------------------------------------------------------------------------------


def test_info_tells_what_a_slide_lacks_and_what_makes_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(str(folder / "s1.h5ad"), without("X_cell"))()
    assert cli.main(["info", "s1.h5ad"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "s1: 64 spots" in text
    assert "obsm['X_patch'], 6 columns, by toy" in text
    assert "obsm['X_cell'] is missing; make it with: scr2st embed s1.h5ad --reference FILE" in text
    assert "80 genes" in text


def test_info_of_a_live_slide_does_not_ask_for_an_embedding(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(str(folder / "s1.h5ad"), never_measured)()
    assert cli.main(["info", "s1.h5ad"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "nothing was measured yet" in text
    assert "scr2st features" in text
    assert "scr2st embed" not in text


def test_info_of_a_reference_counts_its_cell_types(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", "atlas.h5ad"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    labels = anndata.read_h5ad(folder / "atlas.h5ad").obs["cell_type"]
    assert "atlas: 120 cells x 80 genes" in text
    assert f"{labels.value_counts().index[0]} {labels.value_counts().iloc[0]}" in text
    assert "obsm['X_cell'], 4 columns" in text


def test_train_writes_an_agent_that_info_describes_and_that_plays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = contents(folder)
    assert cli.main([*TRAIN.split(), "--steps", "32", "--budget", "4", "--seed", "3"]) == 0
    assert "trained" in capsys.readouterr().out
    assert {name: contents(folder)[name] for name in inputs} == inputs
    assert set(contents(folder)) - set(inputs) == {"agent.safetensors"}

    assert cli.main(["info", "agent.safetensors"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for fact in ("spot agent", "record.budget 4", "record.slides s1, s2", "record.seed 3"):
        assert fact in text

    from agents import load_agent, run_episode
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv

    env = SpotSamplingEnv(["s1.h5ad"], toy_reference(), budget=4)
    episode = run_episode(load_agent("agent.safetensors"), env, slide="s1")
    assert len(set(episode.picks)) == 4


@pytest.mark.usefixtures("folder")
def test_train_takes_several_budgets_and_slides_to_judge_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train = "train --slides s1.h5ad --evaluation-slides s2.h5ad --reference atlas.h5ad --states 10"
    more = "-o agent.safetensors --steps 32 --budget 0.1 0.2 7"
    assert cli.main([*train.split(), *more.split()]) == 0
    shown = float(capsys.readouterr().out.split(" trained")[0].split()[-1])

    from agents import load_agent, run_episode
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv
    from scr2st_env.reference import CellReference

    agent = load_agent("agent.safetensors")
    assert agent.record.budget == (0.1, 0.2, 7)
    assert agent.record.slides == ("s1",)
    atlas = CellReference.from_anndata("atlas.h5ad", n_states=10, seed=0)
    rewards = [
        run_episode(agent, SpotSamplingEnv(["s2.h5ad"], atlas, budget=budget), slide="s2").reward
        for budget in agent.record.budget
    ]
    assert shown == pytest.approx(np.mean(rewards), abs=1e-3)


@pytest.mark.usefixtures("folder")
def test_train_goes_on_from_an_agent_with_logs_and_a_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train = "train --reference atlas.h5ad --states 10 --steps 64 --budget 4"
    assert cli.main([*train.split(), *["--slides", "s1.h5ad", "-o", "first.safetensors"]]) == 0
    more = (
        "--slides s2.h5ad -o second.safetensors --start first.safetensors --patience 2 "
        "--logs logs --checkpoint progress.safetensors"
    )
    assert cli.main([*train.split(), *more.split()]) == 0
    assert " before, " in capsys.readouterr().out
    assert list(Path("logs").rglob("events*"))
    assert not Path("progress.safetensors").exists()

    from agents import load_agent

    assert load_agent("second.safetensors").record.slides == ("s1", "s2")


@pytest.mark.usefixtures("folder")
def test_train_writes_an_agent_that_looks_ahead(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*TRAIN.split(), "--objective", "lookahead"]) == 0
    assert "3 expression programs of 2 slides" in capsys.readouterr().out
    assert cli.main(["info", "agent.safetensors"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for fact in ("LookaheadAgent agent.safetensors", "slides s1, s2", "predictor.noise"):
        assert fact in text

    from agents import load_agent, run_episode
    from scr2st_env.envs.spot_sampling import SpotSamplingEnv

    env = SpotSamplingEnv(["s1.h5ad"], toy_reference(), budget=4, feedback=True)
    episode = run_episode(load_agent("agent.safetensors"), env, slide="s1")
    assert len(set(episode.picks)) == 4


def test_embed_writes_new_files_and_embeds_a_later_slide_alike(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = contents(folder)
    assert cli.main([*f"{EMBED} --fit-on s1.h5ad -o new --components 5".split()]) == 0
    assert cli.main(["embed", "s2.h5ad", "--embedder", "new", "-o", "later"]) == 0
    assert cli.main(["info", "new/embedder.safetensors"]) == 0
    assert "n_components" in capsys.readouterr().out
    assert {name: contents(folder)[name] for name in inputs} == inputs

    first, later = (anndata.read_h5ad(folder / place / "s2.h5ad") for place in ("new", "later"))
    assert first.obsm["X_cell"].shape == (64, 5)
    np.testing.assert_array_equal(first.obsm["X_cell"], later.obsm["X_cell"])
    np.testing.assert_array_equal(first.obsm["X_type"], later.obsm["X_type"])
    np.testing.assert_allclose(first.obsm["X_type"].sum(axis=1), 1, atol=1e-6)
    assert list(first.uns["X_type_names"]) == CELL_TYPES
    assert anndata.read_h5ad(folder / "new" / "atlas.h5ad").obsm["X_cell"].shape == (120, 5)
    recovered = np.asarray(first.obsm["X_type"]).argmax(axis=1)
    assert (recovered == section().obsm["X_type"].argmax(axis=1)).mean() > 0.8


def test_spaces_of_two_embedders_are_never_mixed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*f"{EMBED} -o five --components 5".split()]) == 0
    assert cli.main([*f"{EMBED} -o four --components 4".split()]) == 0
    before = contents(folder)
    for command, words in (
        (f"{EMBED} -o five --components 4", "another embedder"),
        ("embed s1.h5ad --embedder four -o five", "another embedder"),
        (
            TRAIN.replace("s1", "five/s1").replace("s2", "five/s2").replace("atlas", "four/atlas"),
            "four/atlas.h5ad and five/s1.h5ad are of different embedders",
        ),
    ):
        capfd.readouterr()
        assert cli.main(command.split()) == cli.WRONG_INPUT
        assert words in capfd.readouterr().err
        assert contents(folder) == before

    assert cli.main([*f"{EMBED} -o five --components 5".split()]) == 0
    space = stated_space(folder / "five" / "s1.h5ad", "X_cell")
    assert len(space) == 12
    capfd.readouterr()
    for file in ("five/s1.h5ad", "five/atlas.h5ad", "five/embedder.safetensors"):
        assert cli.main(["info", file]) == 0
        assert space in capfd.readouterr().out


def test_a_file_that_does_not_state_its_space_among_others_that_do_is_worth_a_warning(
    folder: Path,
) -> None:
    paths = [folder / name for name in ("atlas.h5ad", "s1.h5ad", "s2.h5ad")]
    must_share_a_space(paths, "X_cell")  # of another tool: nothing is stated
    rewrite("atlas.h5ad", state_space)()
    with pytest.warns(UserWarning, match="s1.h5ad does not say"):
        must_share_a_space(paths, "X_cell")


def state_space(adata: anndata.AnnData) -> None:
    adata.uns["X_cell_space"] = "0123456789ab"


def write_patches(path: Path, names: list[str]) -> None:
    """JPEGs of 32 x 32 random pixels, end to end, as HER2ST's patches are kept."""
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in names:
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(buffer, "JPEG")
        jpegs.append(buffer.getvalue())
    offsets = np.cumsum([0, *map(len, jpegs)])
    data = np.frombuffer(b"".join(jpegs), np.uint8)
    np.savez(path, data=data, offsets=offsets, obs_name=np.array(names))


def test_features_describes_every_spot_and_writes_nothing_unless_all_slides_have_patches(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCR2ST_CACHE", str(folder / "cache"))
    (folder / "patches").mkdir()
    write_patches(folder / "patches" / "s1.npz", section().obs_names.tolist())
    before = contents(folder)
    assert cli.main(["features", "s1.h5ad", "s2.h5ad", "--patches", "patches"]) == cli.WRONG_INPUT
    assert "s2.npz does not exist" in capfd.readouterr().err
    assert contents(folder) == before

    assert cli.main(["features", "s1.h5ad", "--patches", "patches", "-o", "described"]) == 0
    described = anndata.read_h5ad(folder / "described" / "s1.h5ad")
    assert described.uns["X_patch_encoder"] == "histology-v1"
    assert described.obsm["X_patch"].shape[1] > 100
    assert (folder / "s1.h5ad").read_bytes() == before["s1.h5ad"]


TRAIN_REAL = (
    "train --slides embedded/C2.h5ad embedded/C3.h5ad --reference embedded/{} --budget 0.25 "
    "--steps 16 -o agent.safetensors"
)


@pytest.mark.real_data
def test_features_then_embed_then_train_on_real_sections(
    real_data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCR2ST_CACHE", str(folder / "cache"))
    for name in ("C2", "C3"):
        anndata.read_h5ad(real_data / "her2st" / f"{name}.h5ad")[:24].write_h5ad(f"{name}.h5ad")
    atlas_path = real_data / "reference" / "breast_sc_reference.h5ad"
    patches = real_data / "her2st" / "patches"
    for command in (
        f"features C2.h5ad C3.h5ad --patches {patches} -o features",
        f"embed features/C2.h5ad features/C3.h5ad --reference {atlas_path} -o embedded",
        TRAIN_REAL.format(atlas_path.name),
        "info agent.safetensors",
    ):
        assert cli.main(command.split()) == 0
    embedded = anndata.read_h5ad("embedded/C3.h5ad")
    assert embedded.uns["X_patch_encoder"] == "histology-v1"
    assert np.isfinite(embedded.obsm["X_patch"]).all()
    assert not np.allclose(embedded.obsm["X_patch"][0], embedded.obsm["X_patch"][1])
    assert np.isfinite(embedded.obsm["X_cell"]).all()


ON_FILES = (
    "--reference atlas.h5ad --n-states 10 --agents random grid --primary-agent grid --judges gp "
    "--budgets 0.1 --seeds 1 --n-genes 20 --n-top-genes 5 --jobs 1"
)


def test_benchmark_runs_on_files_and_continues_but_never_mixes_configurations(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.toml").write_text(
        'title = "Mine"\nslides = ["s1.h5ad", "s2.h5ad"]\nseeds = 9\n'
    )
    command = f"benchmark --config mine.toml {ON_FILES}".split()
    assert cli.main(command) == 0
    said = capfd.readouterr().out
    assert "Mine: 2 slides, protocol new-slide" in said
    assert said.splitlines()[-1] == "open results/mine/index.html"
    scores = pd.read_csv(folder / "results" / "mine" / "results.csv")
    assert set(scores["agent"]) == {"random", "grid"}
    assert set(scores["slide"]) == {"s1", "s2"}
    assert (folder / "results" / "mine" / "index.html").stat().st_size > 10_000

    units = folder / "results" / "mine" / "units"
    made = {path: path.stat().st_mtime_ns for path in units.iterdir()}
    assert cli.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in units.iterdir()} == made

    before = contents(folder)
    capfd.readouterr()
    assert cli.main([*command, "--seeds", "2"]) == cli.WRONG_INPUT
    assert "seeds differ" in capfd.readouterr().err
    assert contents(folder) == before


def test_the_demonstration_does_the_whole_job(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--quick", "--output", str(tmp_path / "demo")]) == 0
    said = capfd.readouterr()
    assert "Learned (reward)" in said.out
    assert f"open {tmp_path / 'demo' / 'index.html'}" in said.out
    assert "100%" in said.err  # of the progress bar
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert "<img" in page
    assert 'src="http' not in page
    run = json.loads((tmp_path / "demo" / "run.json").read_text(encoding="utf-8"))
    assert run["scr2st"] == scr2st_env.__version__
    agents = list((tmp_path / "demo" / "agents").rglob("*.safetensors"))
    assert len(agents) == 1
