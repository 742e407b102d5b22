"""Write swis/assets/identities.json: python tools/identities.py imagenet=PATH image_folder=PATH

The keys of committed rows on image files depend on names, sizes and labels of the files, because they are
older than hashes of the contents. This table maps the contents of the images that these rows depend on to the
old digest of names. So the keys of these rows stay valid for these contents, and for no others. PATH is
data.root of a data set.
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
    """Return the digest of image files in old keys: a hash of their names, sizes and labels."""
    lines = [f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in split.sources]
    return hashlib.sha256("\n".join(lines).encode() + split.labels.tobytes()).hexdigest()


def used(configs: list[dict], roots: dict[str, str]) -> Iterator[Split]:
    """Yield the image samples that rows of these configurations depend on, each once."""
    wanted = set()
    for config in configs:
        data, seed = config["data"], config.get("seed", 0)
        wanted.add((data["name"], data["split"], ((data["limit"], seed),)))
        calibration = data["calibration_split"]
        if "calibration" in config:
            sample = (config["calibration"]["images"], seed)
            wanted.add((data["name"], calibration, (sample,)))
            if config.get("schedule", {}).get("sensitivity"):
                wanted.add((data["name"], calibration, (sample, (config["schedule"]["images"], seed))))
        if "retrain" in config:
            settings = config["retrain"]
            split = settings["split"] or calibration
            wanted.add((data["name"], split, ((settings["images"], seed),)))
    opened = {}
    for name, split, samples in sorted(wanted, key=str):
        if (name, split) not in opened:
            data = DataConfig(name=name, root=roots[name], split=split, calibration_split=split)
            opened[name, split] = open_split(data, split)
        images = opened[name, split]
        for count, seed in samples:
            images = images.sample(count, seed)
        yield images


def main(roots: dict[str, str]) -> None:
    """Write the table for the data sets in ``roots``, by name."""
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
