"""The files to damage, and functions that read each kind of file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from swis.packing.file import load_packed
from swis.results import compaction, hardware_results, records
from swis.results.artifacts import STATE, TENSORS
from swis.results.tensors import read_tensors
from swis.runtime.checksums import of_tensors
from swis.training.float_training import load_state

# The result of a reader that finds nothing, so that a run would compute the results again.
NOTHING = "nothing"


@dataclass(frozen=True)
class Target:
    """A file of a folder.

    ``read`` returns the contents as text, or NOTHING. ``others`` are contents of other files of this kind.
    """

    kind: str
    folder: Path
    path: Path
    read: Callable[[Path], str]
    others: Sequence[bytes] = ()

    @property
    def place(self) -> Path:
        """The path of the file within its folder."""
        return self.path.relative_to(self.folder)


def of_rows(key: str, folder: Path) -> str:
    """Return a row as text; a run and a table must read the same."""
    table = records.load_table(folder, records.COLUMNS)
    listed = table[table["key"] == key]
    row = records.read_row(key, folder)
    if row is None:
        return NOTHING if listed.empty else f"listed although damaged: {listed.to_dict('records')}"
    if not listed.empty and listed.to_dict("records").__repr__() != row.to_dict("records").__repr__():
        return f"{row.to_dict('records')} or {listed.to_dict('records')}"
    return repr(row.to_dict("records"))


def of_hardware(key: str, facts: dict[str, Any], versus: dict[str, Any], folder: Path) -> str:
    """Return a hardware result as text; a run and a table must read the same."""
    table, _ = hardware_results.all_hardware(folder)
    listed = None if table is None else hardware_results.texts(table[table["key"] == key])
    result = records.read_hardware(key, facts, versus, folder)
    if result is None:
        return NOTHING if listed is None or listed.empty else f"listed although damaged: {listed.to_dict()}"
    columns = [*result.columns]
    if listed is not None and not listed.empty and _text(listed[columns]) != _text(result):
        return f"{_text(result)} or {_text(listed)}"
    return _text(result)


def of_kept(key: str, folder: Path) -> str:
    """Return a checksum of the tensors that rows are computed from."""
    tensors = read_tensors(key, folder)
    return NOTHING if tensors is None else of_tensors(tensors)


def of_state(key: str, folder: Path) -> str:
    """Return a checksum of the state of a training."""
    state = load_state(records.artifact_path(key, folder, STATE), key)
    return NOTHING if state is None else of_tensors(state["model"], repr(state["curve"]).encode())


def of_table(name: str, folder: Path) -> str:
    """Return a table of a task or of a row's artifacts as text."""
    return _text(records.read_table(folder / name))


def of_packed(name: str, folder: Path) -> str:
    """Return a checksum of a packed network and its settings."""
    packed = load_packed(folder / name)
    facts = [packed.label, packed.fmt, packed.coding, packed.skip, packed.fold_bn, packed.activation_bits]
    facts += [packed.activation_range, packed.ranges, packed.policy, packed.calibrate, packed.retrain]
    facts += [packed.rewrites, packed.network.inputs, packed.network.architecture, packed.network.kwargs]
    facts += [{layer: (one.fmt, one.bits) for layer, one in packed.layers.items()}]
    return of_tensors(packed.network.module.state_dict(), repr(facts).encode())


def _text(table: pd.DataFrame) -> str:
    return repr(table.to_dict("records"))


def gather(results: Path, packed: Sequence[Path], tables: Sequence[Path], folder: Path) -> list[Target]:
    """Return targets of every kind of file, from a results folder and the files that runs wrote."""
    singles, compacted = folder / "singles", folder / "compacted"
    for copy in (singles, compacted):
        shutil.copytree(results, copy)
    compaction.compact(compacted)
    targets = []
    row_files = sorted(singles.glob("*.parquet"))
    row_bytes = [path.read_bytes() for path in row_files]
    for path in row_files:
        targets.append(Target("rows", singles, path, partial(of_rows, path.stem), row_bytes))
    hardware_files = sorted((singles / "_hardware").glob("*.parquet"))
    hardware_bytes = [path.read_bytes() for path in hardware_files]
    compacted_rows = next(compacted.glob("rows-*"))
    compacted_hardware = next(compacted.glob("_hardware/rows-*"))
    others = [compacted_rows.read_bytes(), compacted_hardware.read_bytes()]
    for path in row_files:
        read = partial(of_rows, path.stem)
        targets.append(Target("compacted rows", compacted, compacted_rows, read, others))
    for path in hardware_files:
        key = path.stem.partition(".")[0]
        entries = json.loads(pd.read_parquet(path)["hardware"][0])
        facts = {name: value for name, value in entries.items() if name != "versus" and name[:3] != "git"}
        read = partial(of_hardware, key, facts, entries["versus"])
        targets.append(Target("hardware results", singles, path, read, hardware_bytes))
        targets.append(Target("compacted hardware results", compacted, compacted_hardware, read, others))
    tensors = sorted((singles / "_references").glob(f"*.{TENSORS}"))
    tensor_bytes = [path.read_bytes() for path in tensors]
    for path in tensors:
        targets.append(Target("kept tensors", singles, path, partial(of_kept, path.stem), tensor_bytes))
    details = singles / "_details"
    for path in sorted(details.glob(f"*.{STATE}")):
        targets.append(Target("states of trainings", singles, path, partial(of_state, path.stem)))
    for path in sorted(details.glob("*.parquet")):
        name = str(path.relative_to(singles))
        targets.append(Target("tables of rows", singles, path, partial(of_table, name)))
    for path in tables:
        targets.append(Target("tables", path.parent, path, partial(of_table, path.name)))
    contents = [path.read_bytes() for path in packed]
    for path in packed:
        targets.append(Target("packed files", path.parent, path, partial(of_packed, path.name), contents))
    return targets


def mixed(target: Target, random: Random) -> bytes | None:
    """Return a packed file with swapped tensors of two layers or a swapped header; None for other targets."""
    if target.kind != "packed files":
        return None
    with safe_open(target.path, "pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    one = random.choice([*tensors])
    alike = [name for name, value in tensors.items() if name != one and value.shape == tensors[one].shape]
    if alike and random.random() < 0.7:
        other = random.choice(alike)
        if torch.equal(tensors[one], tensors[other]):
            return None
        tensors[one], tensors[other] = tensors[other], tensors[one]
    else:
        with_other = random.choice(target.others)
        start = 8 + int.from_bytes(with_other[:8], "little")
        about = json.loads(with_other[8:start])["__metadata__"]
    mixed_file = target.folder / "_mixed"
    save_file(tensors, mixed_file, about)
    content = mixed_file.read_bytes()
    mixed_file.unlink()
    return content
