"""How long the explorer takes to redraw its figure: python benchmarks/explore.py.

For every network a control after the other is moved: for its first layer, its largest and one in the middle
all of its values. Times are those of drawing the figure and rendering it as PNG, as the notebook does.
"""

import io
import time

import pandas as pd

from swis.explore.explorer import MODELS, designs, layer_figure, layers_of, panel
from swis.formats.registry import formats

VALUES = {
    "method": [name for name, kind in formats().items() if kind.on_codes],
    "shifts": range(1, 8),
    "group_size": (1, 2, 4, 8, 16),
    "group": range(0, 256, 51),
    "accelerator": designs(),
}


def milliseconds(**settings: object) -> float:
    start = time.perf_counter()
    layer_figure(**settings).savefig(io.BytesIO(), format="png")
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    panel()  # as in the notebook
    lines = []
    for model in MODELS:
        layers = layers_of(model)
        names = list(layers)
        largest = max(names, key=lambda name: layers[name][1].numel())
        for layer in dict.fromkeys([names[0], names[len(names) // 2], largest]):
            milliseconds(model=model, layer=layer)  # loads and compiles
            for control, values in VALUES.items():
                for value in values:
                    took = milliseconds(model=model, layer=layer, **{control: value})
                    lines.append({"network": model, "control": control, "ms": took})
    table = pd.DataFrame(lines).groupby(["network", "control"], sort=False)["ms"]
    print(table.agg(["median", "max"]).round().astype(int).to_string())


if __name__ == "__main__":
    main()
