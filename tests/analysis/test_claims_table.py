"""The scoreboard follows from the committed rows, and its commands compute these rows."""

import json
import shlex
import shutil
from dataclasses import asdict, replace
from functools import cache
from itertools import product

import pandas as pd
import pytest
from conftest import ROOT

from swis.analysis import claims_table
from swis.analysis.claims import Evidence, Span, evidence
from swis.experiments.config import Config, load
from swis.options.conf_files import accelerator_names
from swis.options.option import Part, of_part, renamed

RESULTS = ROOT / "results"
# Options that say how and where a table is computed, and paths of files.
RUN = of_part(Config, Part.run) | {"versus", "methods"}
FILES = {"model.weights", "data.root"}


@pytest.fixture(scope="module")
def found() -> list[Evidence]:
    return evidence(RESULTS)


def test_the_scoreboard_follows_from_the_committed_rows():
    board = claims_table.scoreboard(RESULTS)
    text = board.to_csv(index=False, float_format="%.4g")
    assert text == (RESULTS / "claims.csv").read_text()
    assert board["paper"].tolist() == [54.3, 19.8, 6.0, 1.9, 3.7]


def test_without_rows_the_scoreboard_gives_one_error_line(tmp_path, capsys):
    assert claims_table.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_rows_give_one_error_line_and_no_verdict(tmp_path, capsys):
    shutil.copytree(RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns("figures", "bandwidth"))
    area = tmp_path / "results" / "hardware" / "equal_area"
    for path in area.glob("*.parquet"):
        table = pd.read_parquet(path)
        table[table["accelerator"] != "truncation"].to_parquet(path)
    assert claims_table.main([str(tmp_path / "results")]) == 2
    assert "rows for the claim 'speedup over bit-serial accelerators' are missing" in capsys.readouterr().err
    for path in area.glob("mobilenet_v2*.parquet"):
        path.unlink()
    assert claims_table.main([str(tmp_path / "results")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def points_of(commands: str) -> list[dict]:
    """Return the flat configurations of all points that the commands run."""
    flats = []
    for command in commands.split("; "):
        python, script, *overrides = shlex.split(command)
        assert (python, script) == ("python", "run.py")
        pairs = [text.split("=", 1) for text in overrides if text != "--multirun"]
        many = {name: text for name, text in pairs if "," in text and not text.startswith("[")}
        fixed = [f"{name}={text}" for name, text in pairs if name not in many]
        swept = dict(load(fixed).sweep) | many if "--multirun" not in overrides else many
        swept = {
            name: str(values).split(",")
            for name, values in swept.items()
            if name not in dict(pairs) or name in many
        }
        for values in product(*swept.values()):
            point = [f"{name}={value}" for name, value in zip(swept, values, strict=True)]
            flats.append(configured(*fixed, *point))
    return flats


@cache
def configured(*overrides: str) -> dict:
    """Return a flat configuration; it is cached because several claims use the same points."""
    return flat(asdict(load(overrides)))


def flat(config: dict, start: str = "") -> dict:
    options = {}
    for name, value in json.loads(json.dumps(config)).items():
        options |= flat(value, f"{start}{name}.") if isinstance(value, dict) else {f"{start}{name}": value}
    return options


def designs_of(point: dict) -> list[str]:
    """Return the designs that a point simulates besides its own."""
    return accelerator_names() if point["versus"] == ["all"] else point["versus"]


@pytest.mark.parametrize("side", ["most", "fair"])
@pytest.mark.parametrize("claim", range(5))
def test_the_commands_make_the_rows(found, claim, side):
    rows, points = getattr(found[claim], f"{side}_rows"), points_of(getattr(found[claim], f"{side}_command"))
    assert len(rows) > 0
    for row in rows.to_dict("records"):
        wanted = flat(renamed(json.loads(row["config"]), Config))
        # in older rows no number of lanes means a lane per weight of a group
        if "accelerator.lanes" in wanted and wanted["accelerator.lanes"] is None:
            wanted["accelerator.lanes"] = wanted["group_size"]
        # "source" is a text: where a number is from
        texts = {name for name in wanted if name.startswith("recipe.") or name.endswith("source")}
        left_out = RUN | FILES | texts
        if wanted.get("workload"):  # the layers come from the workload's file, not from the model
            left_out = left_out | {name for name in wanted if name.startswith(("model.", "data."))}
        differ = [
            {
                name: (value, point[name])
                for name, value in wanted.items()
                if name in point.keys() - left_out and value != point[name]
            }
            for point in points
            if row["method"] in [*point["methods"], "int8"]
            and row.get("accelerator") in [None, point["accelerator.name"], *designs_of(point)]
        ]
        assert {} in differ, min(differ, key=len, default="no such method")


PLAIN = Evidence(
    claim="c",
    unit="x",
    paper=3.0,
    most=3.0,
    most_setting="",
    most_command="",
    most_rows=None,
    fair=Span(2.0, 1.5, 2.5),
    fair_setting="",
    fair_command="",
    fair_rows=None,
    design="",
    method="swis",
    bits=2.0,
    against="r",
    plain="uniform",
    over_plain=Span(1.2, 1.1, 1.3),
)


@pytest.mark.parametrize(
    ("unit", "fair", "over_plain", "expected"),
    [
        ("x", (2.0, 1.5, 2.5), (1.2, 1.1, 1.3), "in direction, not in size; ahead of uniform"),
        ("x", (3.2, 3.0, 3.5), (1.0, 0.9, 1.1), "holds; on par with uniform"),
        ("x", (3.2, 2.9, 3.5), (0.8, 0.7, 0.9), "in direction, not in size; behind uniform"),
        ("x", (1.1, 0.9, 1.2), (0.8, 0.7, 1.0), "on par; on par with uniform"),
        ("x", (0.8, 0.7, 0.9), (1.2, 1.0, 1.3), "no; on par with uniform"),
        ("points", (0.5, 0.1, 0.9), (-0.5, -0.9, -0.1), "in direction, not in size; behind uniform"),
        ("points", (-0.5, -0.9, -0.1), (0.5, 0.1, 0.9), "no; ahead of uniform"),
    ],
)
def test_the_ends_of_the_spans_decide_the_verdict(unit, fair, over_plain, expected):
    judged = replace(PLAIN, unit=unit, fair=Span(*fair), over_plain=Span(*over_plain))
    assert f"{claims_table.verdict(judged)}; {claims_table.beside_plain(judged)} uniform" == expected
