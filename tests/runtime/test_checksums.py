"""Damage on disk: a changed byte anywhere in a result is noticed, and no wrong number is read."""

import logging
import random
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from examples import row

import swis
from swis.errors import InputError
from swis.results import parquet_files, records
from swis.results.artifacts import TENSORS
from swis.results.compaction import compact
from swis.results.tensors import kept_tensors, read_tensors, write_tensors
from swis.training.float_training import load_state

HARDWARE = {"version": records.HARDWARE_VERSION, "energy": {"pj": 1.5}}


def flips(content: bytes, count: int):
    """Yield places all over a content, each with a copy of it in which one bit is flipped there."""
    generator = random.Random(0)
    for place in generator.sample(range(len(content)), min(count, len(content))):
        yield (
            place,
            content[:place] + bytes([content[place] ^ 1 << generator.randrange(8)]) + content[place + 1 :],
        )


def test_a_flipped_bit_anywhere_in_a_row_is_noticed(tmp_path, caplog):
    records.write_row(row(), tmp_path)
    path = tmp_path / "k.parquet"
    content = path.read_bytes()
    for place, flipped in flips(content, 300):
        path.write_bytes(flipped)
        assert records.read_row("k", tmp_path) is None, place
        assert not path.exists(), place
    assert len(caplog.messages) == 300
    path.write_bytes(content)
    assert records.read_row("k", tmp_path)["top1"].item() == 50
    assert pd.read_parquet(path)["top1"].item() == 50  # other readers ignore the checksum


def test_a_flipped_bit_anywhere_in_compacted_rows_is_noticed(tmp_path):
    for key in "abc":
        records.write_row(row(key), tmp_path / "whole")
    compact(tmp_path / "whole")
    (path,) = (tmp_path / "whole").glob("rows-*")
    assert len(swis.load_table(tmp_path / "whole")) == 3
    for place, flipped in flips(path.read_bytes(), 150):
        (tmp_path / "k").mkdir()
        (tmp_path / "k" / path.name).write_bytes(flipped)
        assert swis.load_table(tmp_path / "k").empty, place
        assert records.read_row("b", tmp_path / "k") is None, place
        shutil.rmtree(tmp_path / "k")


def test_a_lost_checksum_is_noticed_and_files_without_one_are_read(tmp_path):
    records.write_row(row("a"), tmp_path)
    path = tmp_path / "a.parquet"
    content = path.read_bytes()
    place = content.index(b"swis sha256 ")
    path.write_bytes(content[:place] + b"swat" + content[place + 4 :])
    assert records.read_row("a", tmp_path) is None
    assert next((tmp_path / "_set_aside").iterdir()).name == "a.parquet"
    path.write_bytes(content)
    pq.write_table(
        pq.read_table(path), path
    )  # another program rewrites the file and keeps the footer's names
    assert records.read_row("a", tmp_path)["top1"].item() == 50
    pd.read_parquet(path).to_parquet(path)
    assert records.read_row("a", tmp_path)["top1"].item() == 50


def test_a_row_under_the_name_of_another_is_not_read(tmp_path, caplog):
    for key, top1 in (("a", 10.0), ("b", 20.0)):
        records.write_row(row(key, top1=top1), tmp_path)
    shutil.copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert records.read_row("b", tmp_path) is None
    assert "has the row a, not the row of the file" in caplog.text
    assert records.read_row("a", tmp_path)["top1"].item() == 10
    assert swis.load_table(tmp_path, "all")["key"].tolist() == ["a"]


def test_a_hardware_result_under_the_name_of_another_is_not_read(tmp_path):
    records.write_row(row("a"), tmp_path)
    for facts, area in ((HARDWARE, 1.0), (HARDWARE | {"energy": {"pj": 2.5}}, 2.0)):
        records.write_hardware({"accelerator": "x", "area": area}, facts, {}, "a", tmp_path)
    one, other = (tmp_path / "_hardware").glob("*.parquet")
    shutil.copy(one, other)
    found = [records.read_hardware("a", HARDWARE | {"energy": {"pj": pj}}, {}, tmp_path) for pj in (1.5, 2.5)]
    assert [result is None for result in found].count(True) == 1
    assert len(swis.load_table(tmp_path, "all")) == 1


@pytest.mark.parametrize("damage", ["a bit", "another file", "no checksum"])
def test_damaged_tensors_are_made_again(tmp_path, damage):
    for key in "ab":
        write_tensors({"logits": torch.full((4, 4), float(ord(key)))}, key, tmp_path)
    a, b = (records.artifact_path(key, tmp_path, TENSORS) for key in "ab")
    if damage == "a bit":
        content = bytearray(b.read_bytes())
        content[-1] ^= 1
        b.write_bytes(content)
    elif damage == "another file":
        shutil.copy(a, b)
    else:
        from safetensors.torch import save_file

        save_file({"logits": torch.zeros(4, 4)}, b)
    assert read_tensors("b", tmp_path) is None
    made = kept_tensors("b", tmp_path, lambda: {"logits": torch.ones(2)})
    assert made["logits"].tolist() == read_tensors("b", tmp_path)["logits"].tolist() == [1, 1]
    assert read_tensors("a", tmp_path)["logits"][0, 0].item() == ord("a")


def test_a_training_never_continues_from_damaged_weights(tmp_path, caplog):
    path = tmp_path / "state"
    weights = torch.arange(1000.0)
    torch.save({"plan": "p", "model": {"w": weights}}, path)
    assert load_state(path, "p") is not None
    content = bytearray(path.read_bytes())
    content[bytes(content).index(weights.numpy().tobytes()) + 2000] ^= 1
    path.write_bytes(content)
    assert load_state(path, "p") is None
    assert "is damaged (ValueError)" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


def test_a_damaged_table_is_refused_in_one_line(tmp_path):
    path = tmp_path / "t.parquet"
    records.write_table(pd.DataFrame({"config": ['{"bits": 2}'], "x": [1.5]}), path)
    assert records.config_of_table(path) == {"bits": 2}
    content = bytearray(path.read_bytes())
    content[content.index(b"bits")] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet is damaged: its checksum does not match its contents"):
        records.read_table(path)
    with pytest.raises(InputError, match="is damaged"):
        records.load_storage(tmp_path)
    assert records.config_of_table(path) is None


def test_older_rows_without_checksums_are_found_by_name(tmp_path):
    records.write_row(row("a"), tmp_path)
    pd.read_parquet(tmp_path / "a.parquet").to_parquet(tmp_path / "rows-old.parquet", index=False)
    (tmp_path / "a.parquet").unlink()
    assert parquet_files.find_row(tmp_path / "rows-old.parquet", "key", "a").num_rows == 1
    assert records.read_row("a", tmp_path) is not None
