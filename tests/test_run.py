"""The command line: help, one line and status 2 for wrong input, sweeps."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

import swis
from swis.experiments.config import load


def test_help_fits_on_a_screen_and_names_the_groups(command_line):
    done = command_line("--help")
    assert done.status == 0
    assert len(done.out.splitlines()) <= 30
    lists = ("accelerator: ", "experiment: ")  # long lists of files, which a terminal may wrap
    lines = [line for line in done.out.splitlines() if not line.strip().startswith(lists)]
    assert max(map(len, lines)) <= 100
    for word in ("model: efficientnet_lite0, mobilenet_v2", "data: cifar10", "group_size", "python run.py"):
        assert word in done.out


def test_a_run_prints_its_table(command_line, tiny, tmp_path):
    done = command_line(*tiny, "methods=[swis,round]")
    assert done.status == 0
    assert "swis" in done.out
    assert "round" in done.out
    assert len(swis.load_table(tmp_path / "runs")) == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["selection=joint", "calibrate=output_aware"],
            "selection=joint has no effect with calibrate=output_aware",
        ),
        (["accelerator.rows=0"], "accelerator.rows must be at least 1, not 0"),
        (["accelerator.frequency_mhz=0"], "accelerator.frequency_mhz must be finite and above 0"),
        (["accelerator=stripes", "accelerator.shifts_per_cycle=2"], "is only for datapath=swis, not serial"),
        (["accelerator=laconic", "accelerator.side_by_side=true"], "cannot be used with skipping=products"),
        (["task=simulate", "accelerator.lanes=0"], "accelerator.lanes must be at least 1, not 0"),
        (["task=simulate", "activation_bits=null"], "task=simulate needs a number of activation_bits"),
        (
            ["task=simulate", "calibrate=output_aware"],
            "calibrate=output_aware has no effect on task=simulate",
        ),
        (["task=simulate", "workload=no.csv", "skip=[conv]"], "workload=FILE has only shapes"),
        (["accelerator=gpu"], "there is no accelerator=gpu; choose one of bitfusion"),
        (["accelerator=bitfusion", "accelerator.dram_bits_per_cycle=null"], "must be a number"),
        (["task=simulate", "accelerator.weight_sram_bytes=8"], "weight_sram_bytes=8 holds no tile"),
        (["task=simulate", "workload=no.csv"], "workload no.csv cannot be read"),
        (["workload=no.csv"], "workload=FILE, the shapes of layers, needs task=simulate"),
        (["bits=8"], "bits (shifts) must be in 1..7 (magnitude_bits), not 8"),
        (["bits=0"], "bits (shifts) must be in 1..7"),
        (["bits=7.5"], "bits (shifts) must be in 1..7 (magnitude_bits), not 7.5"),
        (["schedule=best"], "there is no schedule=best; choose one of calibrated"),
        (["schedule.multiple=0"], "schedule.multiple must be at least 1"),
        (["schedule.max=9"], "schedule.max must be in 1..7"),
        (["schedule.min=3", "schedule.max=2"], "schedule.min=3 must not be above schedule.max=2"),
        (["bits=1.5", "schedule=optimal", "schedule.min=2"], "the fewest allowed are 2"),
        (["bits=1.5", "schedule=network", "schedule.min=2"], "of the cost of its fewest shifts"),
        (["bits=2.5", "schedule.multiple=2", "schedule.min=3", "schedule.max=3"], "no multiple of"),
        (
            ["bits=1.1", "schedule=network", "schedule.depthwise=7", "schedule.budget_unit=macs"],
            "of the cost of its fewest shifts",
        ),
        (["bits=two"], "bits must be a number, not two"),
        (["bits=nan"], "bits must be a number"),
        (["bits=inf"], "bits must be a number"),
        (["alpha=inf"], "alpha must be finite and at least 0"),
        (["model.interpolation=foo"], "foo"),
        (["model.std=[0]"], "model.std must be finite numbers above 0"),
        (["recipe.momentum=[0,0.9]"], "recipe.momentum must be [least, most] between 0 and 1"),
        (["recipe.momentum=[0.9,0.8]"], "recipe.momentum must be [least, most] between 0 and 1"),
        (
            ["recipe.stages=[{epochs:1,image_sizes:[32,64]}]"],
            "recipe.stages.epochs=1 is too few for 2 image_sizes",
        ),
        (["recipe.average=4"], "recipe.average must be in 1..3"),
        (["group_size=0"], "group_size must be at least 1, not 0"),
        (["alpha=-1"], "alpha must be finite and at least 0, not -1"),
        (["magnitude_bits=9"], "magnitude_bits must be in 4..8"),
        (["activation_bits=1"], "activation_bits must be in 2..16"),
        (["activation.percentile=20"], "activation.percentile"),
        (["calibration.images=0"], "calibration.images"),
        (
            ["data.split=train"],
            "data.split=train has the images to measure on; choose another data.calibration_split",
        ),
        (
            ["task=pack", "out=x", "data.split=train", "allow_calibration_on_test=true"],
            "data.split=train has the images to measure on; choose another data.calibration_split",
        ),
        (["batch_size=0"], "batch_size"),
        (["data.limit=0"], "data.limit"),
        (["methods=[]"], "methods is empty"),
        (["methods=[swiss]"], "not swiss; did you mean swis?"),
        (["granularity=row"], "granularity must be one of tensor, channel, not row"),
        (["model=mobilenet_v9"], "did you mean mobilenet_v2?"),
        (["colour=blue"], "there is no option colour"),
        (["bits"], "'bits' is not NAME=VALUE"),
        (["bit=3"], "error: there is no option bit; did you mean bits?\n"),
        (["+bit=3"], "error: there is no option bit; did you mean bits?\n"),
        (["++bit=3"], "error: there is no option bit; did you mean bits?\n"),
        (["--multirun", "bit=2,3"], "error: there is no option bit; did you mean bits?\n"),
        (["experiment=calibration", "+bit=2,3"], "error: there is no option bit; did you mean bits?\n"),
        (["hydra.mode=MULTIRUN", "+sweep.bit='2,3'"], "error: there is no option bit; did you mean bits?\n"),
        (["hydra.launcher.n_job=2"], "there is no option hydra.launcher.n_job"),
        (["--multirun", "launch=joblib", "hydra.launcher.n_job=2"], "did you mean n_jobs?"),
        (["schedule=gredy"], "there is no schedule=gredy; did you mean greedy?"),
        (["experiment=[first_table,storag]"], "there is no experiment=storag; did you mean storage?"),
        (["versus=[strips]"], "not 'strips'; did you mean stripes?"),
        (["experiment=null"], "experiment must be one of ablation, bandwidth"),
        (["bits='3"], "write bits=3"),
        (["group_size=99999999999999999999"], "group_size must be at most 4294967295"),
        (["--config-name", "foo"], "--config-name must be config, not foo"),
        (["hydra.sweep=3", "--multirun"], "hydra.sweep must be {dir, subdir}"),
        (["hydra.job.env_set=3"], "hydra.job.env_set"),
        (["accelerator.unit=swis_s"], "not 'swis_s'; did you mean swis_ss?"),
        (["bits=2,3"], "bits=2,3 has several values; add --multirun to run each"),
        (["bits=${group_sise}"], "bits: there is no option group_sise"),
        (["model=timm"], "model.name has no value; write model.name=VALUE"),
        (["model.kwargs.dorp_rate=0.1"], "do not fit mobilenetv2_100"),
        (["model.mean=[nan]"], "model.mean must be finite numbers, one per channel, not [nan]"),
        (["device=abacus"], "device=abacus is not a device"),
        (["device=meta"], "device=meta is not supported"),
        (["data.name=foo"], "data.name=foo is not known; known are cifar10"),
        (["model.kwargs.pretrained=true"], "model.kwargs.pretrained cannot be used"),
        (["seed=99999999999999999999"], "seed must be at most 4294967295"),
        (["results_dir=/proc"], "results_dir=/proc cannot be written to"),
        (["task=storage", "skip=[*]", "out=FILE"], "skip leaves no layer to measure"),
        (["calibrate=magic"], "magic"),
        (["calibration.scales=[]"], "calibration.scales is empty"),
        (["calibration.scales=[1,-1]"], "calibration.scales must be finite and above 0, not -1"),
        (["calibration.damping=0"], "calibration.damping must be finite and above 0"),
        (["data=imagenet"], "data.root"),
        (
            ["model=efficientnet_lite0", "data=imagenet", "data.root=nowhere"],
            "data.root=nowhere is not a folder",
        ),
        (["model.weights=nowhere.pth"], "nowhere.pth"),
        (["model=efficientnet_lite0"], "has 1000 classes, but"),
        (["model=timm", "model.name=nonsense"], "timm has no model named 'nonsense'"),
        (["skip=[nothing.*]"], "'nothing.*' matches no layer"),
    ],
)
def test_wrong_input_gives_one_line_and_status_two_before_any_work(
    command_line, tmp_path, overrides, message
):
    done = command_line(*overrides)
    assert done.status == 2, done
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1, done.err
    assert message in done.err
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_method_named_twice_counts_once(command_line, tiny, tmp_path):
    done = command_line(*tiny, "methods=[round,round]", "versus=[stripes,stripes]", "dry_run=true")
    assert done.out == "float to do, int8 to do, round to do\n"
    assert load(["versus=[stripes,loom,stripes]"]).versus == ["stripes", "loom"]


def test_options_may_be_on_both_sides_of_a_flag(command_line, tiny):
    done = command_line(*tiny, "methods=[round]", "--multirun", "bits=2,3,2", "dry_run=true")
    assert done.status == 0, done.err
    assert "4 rows of 2 points" in done.out


def test_fractional_bits_are_scheduled(command_line, tiny, tmp_path):
    done = command_line(*tiny, "bits=2.5", "schedule=optimal", "methods=[swis,truncate]")
    assert done.status == 0, done.err
    assert "swis, optimal schedule of 2.5: 2." in done.out
    assert "truncate, optimal schedule of 2.5: 2." in done.out
    table = swis.load_table(tmp_path / "runs").dropna(subset="schedule_spent")
    assert len(table) == 2
    assert table["cycles_per_weight"].between(2.3, 2.5).all()


def test_a_sweep_runs_every_combination(command_line, tiny, tmp_path):
    done = command_line("--multirun", *tiny, "methods=[swis]", "bits=2,3", "group_size=4,8")
    assert done.status == 0
    table = swis.load_table(tmp_path / "runs").query("method == 'swis'")
    assert sorted(zip(table["bits"], table["group_size"], strict=True)) == [(2, 4), (2, 8), (3, 4), (3, 8)]


def test_a_wrong_point_of_a_sweep_does_not_stop_the_others(command_line, tiny, tmp_path):
    done = command_line("--multirun", *tiny, "methods=[swis]", "bits=2,9,3")
    assert done.status == 2
    assert "bits (shifts) must be in 1..7 (magnitude_bits), not 9" in done.err
    assert "Traceback" not in done.err
    table = swis.load_table(tmp_path / "runs").query("method == 'swis'")
    assert sorted(table["bits"]) == [2, 3]


def test_a_failed_run_exits_with_one(command_line, tiny, monkeypatch):
    monkeypatch.setattr("swis.experiments.study.Study.measure", lambda *_: 1 / 0)
    done = command_line(*tiny)
    assert done.status == 1
    assert "7 of 7 rows failed" in done.err
    assert "Traceback" not in done.err


def test_an_interrupted_run_says_that_rows_are_stored(command_line, tiny, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("swis.experiments.study.Study.measure", interrupt)
    done = command_line(*tiny)
    assert done.status == 130
    assert "rows computed so far are stored" in done.err


@pytest.mark.parametrize(
    ("open_it", "status", "message"),
    [
        (lambda: open_without_reader(), 141, ""),
        (
            lambda: os.open("/dev/full", os.O_WRONLY),
            1,
            "error: the table cannot be printed: No space left on device; the rows are stored\n",
        ),
    ],
)
def test_a_failure_to_print_gives_one_line_or_none(tmp_path, open_it, status, message):
    stdout = open_it()
    try:
        done = subprocess.run(
            [sys.executable, ROOT / "run.py", "--help"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    finally:
        os.close(stdout)
    assert (done.returncode, done.stderr) == (status, message)


def open_without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("arguments", [[], ["--multirun", "bits=2"]])
def test_a_table_is_flushed_at_once(command_line, tiny, monkeypatch, arguments):
    def full(*texts, flush=False, **_):
        assert flush
        if texts:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("swis.experiments.command.print", full, raising=False)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    done = command_line(*arguments, *tiny, "dry_run=true")
    assert done.status == 1
    assert done.err == "error: the table cannot be printed: No space left on device; the rows are stored\n"


def test_the_configuration_loads_without_torch():
    # tab completion and --help must be quick
    code = "import sys, swis.experiments.config, swis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_run_py_as_a_user_starts_it(tiny, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", *tiny, "methods=[round]"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "round" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]  # no other file is left behind
