"""The lines of a run's report."""

from swis.experiments.config import load
from swis.experiments.report import calibration


def test_a_run_says_what_it_used_images_for():
    images = "calibration.images=9"
    for options, said in {
        (images,): "calibrate=stats: .* (at most 9 unlabelled images of fashion_mnist/train)",
        (images, "calibrate=none"): "(ranges of activations: at most 9 unlabelled images of ",
        ("calibrate=none", "activation_bits=null"): "calibrate=none: every weight takes its nearest level",
        ("calibrate=none", "activation_bits=null", "bits=2.5", "schedule=network", "schedule.images=8"): (
            "(schedule: the first 8 of fashion_mnist/train)"
        ),
    }.items():
        first, _, rest = said.partition(".* ")
        line = calibration(load([*options]))
        assert (first in line and line.endswith(rest)) or said in line
