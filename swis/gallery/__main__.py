"""python -m swis.gallery [NAME ...]: draw figures, all unless some are named, to results/figures."""

import sys
from functools import partial

from swis.errors import InputError
from swis.gallery import RESULTS, draw
from swis.gallery.registry import figures
from swis.options.names import require_known
from swis.runtime.files import write_atomically
from swis.runtime.progress import tqdm

DPI = 90


def main(names: list[str]) -> int:
    """Draw figures, all unless some are named, to results/figures; return the exit status."""
    try:
        for name in names:
            require_known("figure", name, figures())
        for name in tqdm(names or figures(), desc="figures"):
            figure = draw(name)
            for ending, facts in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
                write = partial(figure.savefig, format=ending, dpi=DPI, metadata=facts)
                write_atomically(RESULTS / "figures" / f"{name}.{ending}", write)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
