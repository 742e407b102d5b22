"""What other quantization tools reach with the weights, images, layers and bits of our own rows.

    python benchmarks/peers.py [tools=brevitas,aimet,nncf,quanto] [bits=4] [OVERRIDES]

The overrides are options of run.py, such as experiment=efficientnet_lite0_imagenet data.root=PATH. Every tool
runs in an environment of its own with the versions in benchmarks/peer_tools/TOOL.txt. Only torch and timm are
those of this suite. The environment is made if it is missing. A tool gets the float network, the calibration
images and the bits of weights; it gives back logits, which this suite scores as its own.

* ``tools``: tools to measure, each with its first recipe. TOOL/RECIPE is another one; peer_tools/run_TOOL.py
  says what each does.
* ``bits``: bits of a weight. Activations have those of activation_bits.
* ``TOOL.OPTION=VALUE``: an option of a recipe, such as aimet.iterations=250. The row says it.
* ``out`` (results/peers.csv): rows that are there are not computed again, except failed ones, or with
  ``force=true``.
* ``folder`` (outputs/peers): the environments, and the answers of tools.

A tool that fails, or does not offer the bits, has a row too, with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peer_cases import SCRIPTS, Case, cases, digest_of, split_overrides
from safetensors.torch import load_file, save_file

from swis.errors import InputError
from swis.evaluation.predict import Prediction, closeness, predict, score
from swis.experiments.config import load
from swis.experiments.study import Study, prepare
from swis.results.provenance import provenance
from swis.runtime.files import write_atomically

REFUSED = 3  # exit status of a script whose tool does not offer what is asked
COLUMNS = (
    *("key", "model", "weights", "data", "tool", "version", "recipe", "settings", "bits", "weight_bits"),
    *("activation_bits", "seed", "calibration_images", "images", "top1", "top1_low", "top1_high"),
    *("agreement", "kl", "held_out_images", "held_out_agreement", "held_out_kl", "logit_sqnr_db"),
    *("correct", "seconds", "status", "error", "git_commit", "git_dirty", "packages", "machine", "created"),
)


def environment(tool: str, folder: Path) -> Path:
    """Return the interpreter of a tool's environment, which is made if it is missing."""
    place = folder / tool
    python, made = place / "bin" / "python", place / "made.txt"
    wanted = SCRIPTS / f"{tool}.txt"
    if not made.exists() or made.read_text() != wanted.read_text():
        print(f"installing {tool} in {place}", flush=True)
        venv.create(place, with_pip=True, clear=True)
        _share_torch(place)
        install = [python, "-m", "pip", "install", "--quiet", "--requirement", wanted]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"{tool} cannot be installed: {last_line(done.stderr)}")
        made.write_text(wanted.read_text())
    else:
        _share_torch(place)  # this suite may have moved since
    return python


def _share_torch(place: Path) -> None:
    """Let an environment find torch and timm of this suite, since they take gigabytes."""
    (site,) = place.glob("lib/python*/site-packages")
    (site / "suite.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")


def last_line(text: str) -> str:
    """Return the last line that is not empty, which names the error.

    >>> last_line("Traceback\\n\\nValueError: no\\n\\n")
    'ValueError: no'
    """
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


def hand_over(study: Study, folder: Path) -> None:
    """Write the float network and all images for the scripts of tools."""
    tensors = {name: value.contiguous() for name, value in study.network.module.state_dict().items()}
    images = {"calibration": study.calibration_images}
    images["measured"] = torch.cat([batch for batch, _ in study.batches])
    if study.held_out:
        images["held_out"] = torch.cat([batch for batch, _ in study.held_out_batches])
    write_atomically(folder / "network.safetensors", lambda path: save_file(tensors, path))
    write_atomically(folder / "images.safetensors", lambda path: save_file(images, path))


def answered(case: Case, study: Study, place: Path, python: Path, images: Path) -> dict[str, Any]:
    """Let the tool quantize the network, and return the columns that say how that went.

    ``place`` is the folder of the answer. An answer that is there is read, so that an interrupted benchmark
    goes on where it was.
    """
    if not (place / "report.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        job = case.job(study) | {"threads": torch.get_num_threads()}
        (place / "job.json").write_text(json.dumps(job))
        (place / "provenance.json").write_text(json.dumps(provenance()))
        script = SCRIPTS / f"run_{case.tool}.py"
        with (place / "log.txt").open("w") as log:
            done = subprocess.run([python, script, images, place], stdout=log, stderr=log, check=False)
        if done.returncode < 0:  # it may work another time, so it is no row
            raise InputError(f"{case.tool} was killed by signal {-done.returncode}")
        if done.returncode:
            said = last_line((place / "log.txt").read_text())
            return {"status": "refused" if done.returncode == REFUSED else "failed", "error": said}
    report = json.loads((place / "report.json").read_text())
    ran = json.loads((place / "provenance.json").read_text())
    versions = report.pop("packages")
    return {
        **ran,
        "version": next(iter(versions.values())),
        "packages": json.dumps(versions),
        "settings": json.dumps(report.pop("settings")),
        **report,
        "status": "ok",
    }


def of_float(study: Study) -> dict[str, torch.Tensor]:
    """Return the float network's logits of the measured and of the held-out images."""
    parts = {"measured": study.batches} | ({"held_out": study.held_out_batches} if study.held_out else {})
    network, device = study.network.module, study.device
    return {
        name: predict(network, batches, device, f"float, {name}").logits for name, batches in parts.items()
    }


def scored(
    logits: dict[str, torch.Tensor], study: Study, reference: dict[str, torch.Tensor]
) -> dict[str, Any]:
    """Return the columns of accuracy of logits, by the functions that score our own rows."""
    labels = torch.cat([labels for _, labels in study.batches])
    columns = score(Prediction(logits["measured"], labels, seconds=1.0), reference["measured"])
    if study.held_out:
        found = {"images": len(logits["held_out"]), **closeness(logits["held_out"], reference["held_out"])}
        columns |= {f"held_out_{name}": value for name, value in found.items()}
    return columns


def described(case: Case, key: str, study: Study) -> dict[str, Any]:
    """Return the columns that are known before a tool starts."""
    return {
        "key": key,
        "model": study.config.model.label,
        "weights": study.network.weights,
        "data": study.split.name,
        **{name: getattr(case, name) for name in ("tool", "recipe", "bits")},
        "version": case.version,
        "settings": json.dumps(case.options),
        "activation_bits": study.config.activation_bits,
        "seed": study.config.seed,
        "calibration_images": len(study.calibration),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance(),
    }


def main(arguments: list[str]) -> int:
    """Measure the rows that are missing, and print all that were asked for; return how many failed."""
    own, overrides = split_overrides(arguments)
    chosen, out, folder = list(cases(own)), Path(own["out"]), Path(own["folder"]).absolute()
    config = load(["data.held_out=true", *overrides])
    if config.model.factory is not None or config.activation_bits is None:
        raise InputError("other tools get a network of timm, and quantize activations: give activation_bits")
    study = prepare(config)
    stored = pd.read_csv(out).to_dict("records") if out.exists() else []
    rows = {row["key"]: row for row in stored}
    keys = {case.key(study): case for case in chosen}
    done = {key for key, row in rows.items() if row["status"] != "failed"}
    missing = [key for key in keys if key not in done or own["force"] == "true"]
    images, reference = folder / "images" / digest_of(study), None
    if missing and not (images / "images.safetensors").exists():
        hand_over(study, images)
    for key in missing:
        case, place = keys[key], folder / "answers" / key
        if own["force"] == "true":
            (place / "report.json").unlink(missing_ok=True)
        row = described(case, key, study)
        row |= answered(case, study, place, environment(case.tool, folder), images)
        if row["status"] == "ok":
            reference = reference or of_float(study)
            row |= scored(load_file(place / "logits.safetensors"), study, reference)
        rows[key] = {name: row.get(name) for name in COLUMNS}
        table = pd.DataFrame(rows.values()).sort_values(["model", "tool", "recipe", "bits", "seed"])
        write_atomically(out, lambda path, table=table: table.to_csv(path, index=False))
        print(line_of(rows[key]), flush=True)
    print("\n".join(line_of(rows[key]) for key in keys if key not in missing))
    return sum(rows[key]["status"] == "failed" for key in keys)


def line_of(row: dict[str, Any]) -> str:
    """Return a row in one line: what was asked, and top-1 accuracy or the reason why there is none."""
    asked = f"{row['model']:20}{row['tool']:10}{row['recipe']:18}{row['bits']} bits  "
    if row["status"] != "ok":
        return asked + f"{row['status']}: {row['error']}"
    low, high = row["top1_low"], row["top1_high"]
    return asked + f"{row['top1']:.1f} % ({low:.1f} to {high:.1f}), {row['seconds']:.0f} s"


if __name__ == "__main__":
    try:
        sys.exit(min(main(sys.argv[1:]), 1))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
