"""Write swis/assets/identities.json: python tools/identities.py imagenet=PATH image_folder=PATH

Keys of committed rows on image files are older than hashes of contents: names, sizes and labels stand in
them. The table gives that digest for the contents that the rows were measured, calibrated and trained on,
so that keys stay as they are for these contents, and for no others. PATH is data.root of a data set.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import swis
from swis.data.contents import identity
from swis.data.image_sets import open_split
from swis.data.split import Split
from swis.options.data import DataConfig

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "swis" / "assets" / "identities.json"


def old_digest(split: Split) -> str:
    """Return what stood for image files in keys: their names, sizes and labels."""
    lines = [f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in split.sources]
    return hashlib.sha256("\n".join(lines).encode() + split.labels.tobytes()).hexdigest()


def used(configs: list[dict], roots: dict[str, str]) -> Iterator[Split]:
    """Yield the samples of images that rows of these configurations depend on, each once."""
    wanted = set()
    for config in configs:
        data, seed = config["data"], config.get("seed", 0)
        wanted.add((data["name"], data["split"], ((data["limit"], seed),)))
        calibration = data["calibration_split"]
        if "calibration" in config:
            drawn = (config["calibration"]["images"], seed)
            wanted.add((data["name"], calibration, (drawn,)))
            if config.get("schedule", {}).get("sensitivity"):
                wanted.add((data["name"], calibration, (drawn, (config["schedule"]["images"], seed))))
        if "retrain" in config:
            settings = config["retrain"]
            split = settings["split"] or calibration
            wanted.add((data["name"], split, ((settings["images"], seed),)))
    opened = {}
    for name, split, draws in sorted(wanted, key=str):
        if (name, split) not in opened:
            data = DataConfig(name=name, root=roots[name], split=split, calibration_split=split)
            opened[name, split] = open_split(data, split)
        images = opened[name, split]
        for count, seed in draws:
            images = images.sample(count, seed)
        yield images


def main(roots: dict[str, str]) -> None:
    folders = sorted({path.parent for path in ROOT.glob("results/*/rows-*.parquet")})
    texts = [text for folder in folders for text in swis.load_table(folder, ["config"])["config"]]
    configs = [json.loads(text) for text in texts]
    known = {}
    for images in used([config for config in configs if config["data"]["name"] in roots], roots):
        contents = images.looked_at(decode=False).contents
        known[identity(contents, images.labels.tolist(), {})] = old_digest(images)
    TARGET.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(dict(argument.split("=", 1) for argument in sys.argv[1:]))
