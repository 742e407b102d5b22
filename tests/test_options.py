"""Every option of the schema refuses what is wrong, in one line that names it; mistakes are understood."""

import pickle
import re
import shlex

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from torch import nn
from wrong_lines import wrong_lines

from swis.accelerator import Accelerator
from swis.apply import WeightFormat
from swis.codec import Layout
from swis.command import check_options, command_line
from swis.config import Config, load, register, resolve
from swis.errors import InputError
from swis.options import option_names
from swis.output_aware import OutputAware
from swis.reconstruct import Reconstruction
from swis.retrain import Retraining
from swis.rewrite import rewritten
from swis.schedule import Schedule


@pytest.fixture(scope="module")
def refusal():
    """Say how a NAME=VALUE is refused: as run.py does, but that conf/ is put together once for all."""
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = pickle.dumps(compose("config"))

    def refused(text: str) -> str | None:
        try:
            check_options([text], Config)
            config, override = pickle.loads(composed), OverridesParser.create().parse_overrides([text])[0]
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            group = override.key_or_group.split(".")[0]
            resolve(config[group] if OmegaConf.is_dict(config[group]) else config)  # all of it takes longer
            resolve(config)
        except InputError as error:
            return str(error)
        return None

    return refused


def test_every_option_refuses_every_kind_of_mistake_in_one_line_that_names_it(refusal):
    lines = list(wrong_lines())
    assert len(lines) > 1000
    unclear = []
    for name, text in lines:
        message = refusal(text)
        if message is None or "\n" in message or name.split(".")[-1] not in message:
            unclear.append((text, message))
    assert not unclear


def test_a_misspelt_name_gets_the_nearest_one(refusal):
    for name in option_names(Config):
        message = refusal(f"{name}_=3")
        assert message == f"there is no option {name}_; did you mean {name}?", name


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["bits", "3"], "bits=3"),
        (["bits", "=", "3"], "bits=3"),
        (["bits=", "3"], "bits=3"),
        (["bits", "=3"], "bits=3"),
        (["bits = 3"], "bits=3"),
        (["bits:3"], "bits=3"),
        (["bits=3,", "seed=1"], "bits=3 seed=1"),
        (["bits=3 seed=1"], "bits=3 seed=1"),
        (["methods=[swis,", "truncate]"], "methods=[swis,truncate]"),
        (["methods=[swis", "truncate]"], "methods=[swis,truncate]"),
        (["methods", "=", "[swis,", "truncate]"], "methods=[swis,truncate]"),
        (["mobilenet_v2"], "model=mobilenet_v2"),
        (["model.weights=a (b).pth"], "'model.weights=\"a (b).pth\"'"),
    ],
)
def test_words_that_are_no_option_get_the_right_form(words, form):
    with pytest.raises(InputError) as refused:
        command_line(["seed=1", *words, "group_size=8"], Config)
    assert str(refused.value).endswith(f"is not NAME=VALUE; write {form}")
    check_options(shlex.split(form), Config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bits", "3"], "--bits: options have no dashes; write bits=3"),
        (["--bits=3"], "--bits=3: options have no dashes; write bits=3"),
        (["-bits", "3"], "-bits: options have no dashes; write bits=3"),
        (["--group-size", "8"], "--group-size: options have no dashes; write group_size=8"),
        (["--model=resnet18"], "--model=resnet18: options have no dashes; write model=resnet18"),
        (["--mulitrun"], "there is no flag --mulitrun; did you mean --multirun?"),
        (["--cfg"], "--cfg/-c: expected one argument; see python run.py --help"),
        (["~bits"], "~bits: an option cannot be taken away; without it, it has its default"),
        (["+bits=3"], "bits is there already; write bits=3"),
        (["+schedule=greedy"], "schedule is there already; write schedule=greedy"),
        (["data=[cifar10,cifar100]"], "data is one choice, not a list; a sweep: --multirun data=A,B"),
        (["energy=3"], "energy must be one of nm45, nm45_bitsim, nm45_hp, not 3"),
        (["energy={a: 1}"], "energy must be one of nm45, nm45_bitsim, nm45_hp, not {'a': 1}"),
        (["launch=[2.5]"], "launch is one choice, not a list; a sweep: --multirun launch=A,B"),
        (["model@data=resnet18"], "model@data=resnet18: an option is written NAME=VALUE, without @"),
        (
            ["rewrites=permute"],
            "rewrites must be a list, each one of equalize, permute; write rewrites=[permute]",
        ),
        (["methods.swis=3"], "methods is a list; write methods=[swis]"),
        (["retrian.epochs=3"], "there is no option retrian.epochs; did you mean retrain.epochs?"),
        (["split=val"], "there is no option split; did you mean data.split or retrain.split?"),
        (["recipe.stages=[{epoch: 3}]"], "there is no option recipe.stages[0].epoch; did you mean epochs?"),
    ],
)
def test_what_is_no_option_is_refused_with_what_was_meant(words, message):
    with pytest.raises(InputError) as refused:
        command_line(words, Config)
    assert str(refused.value) == message


def test_what_is_right_is_left_alone():
    for words in (
        ["bits=3", "methods=[swis,round]", "model.kwargs.drop_rate=0.1", "++bits=3", "data.root='a (b)'"],
        ["--multirun", "bits=2,3", "methods=[swis],[round]", "schedule=greedy,uniform", "seed=range(3)"],
        ["experiment=[storage,first_table]", "~recipe", "hydra.launcher.n_jobs=2", "out=${bits}.parquet"],
        ["+energy.units.mine.pj_per_cycle=1.0", "recipe.stages.0.epochs=3", "activation_bits=null"],
        ["--cfg", "job", "-p", "retrain"],
    ):
        assert command_line(words, Config) == words


def test_from_python_a_wrong_option_is_one_line_too():
    for text in ("bit=3", "schedule=gredy", "bits=x", "bits=9", "methods=swis"):
        with pytest.raises(InputError) as refused:
            load([text])
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightFormat("swsi"), "not 'swsi'; did you mean swis?"),
        (
            lambda: WeightFormat("swis", clip="mes"),
            "clip is one of absmax, mse, not 'mes'; did you mean mse?",
        ),
        (lambda: WeightFormat("swis", granularity="row"), "granularity is one of tensor, channel, not 'row'"),
        (lambda: WeightFormat("swis", selection="joined"), "selection is one of nearest, joint"),
        (lambda: WeightFormat("swis", shifts=0), "shifts must be in [1, 8], not 0"),
        (lambda: WeightFormat("swis", group_size=0), "group_size must be at least 1"),
        (lambda: WeightFormat("swis", alpha=float("nan")), "alpha must be at least 0, and finite, not nan"),
        (lambda: Schedule("gredy"), "not 'gredy'; did you mean greedy?"),
        (lambda: Schedule(scope="net"), "scope is one of layer, network, not 'net'"),
        (lambda: Schedule(multiple=0), "multiple must be at least 1"),
        (lambda: Layout("swis", 1, 1, 2, 4, 7, "compakt"), "did you mean compact?"),
        (lambda: Layout("swis", 1, 1, 2, 0, 7, "plain"), "group_size must be at least 1"),
        (lambda: OutputAware(order="size"), "order is one of filter, variance, not 'size'"),
        (lambda: OutputAware(damping=float("inf")), "damping must be above 0, and finite, not inf"),
        (lambda: Reconstruction(rate=0), "rate must be above 0"),
        (lambda: Retraining(optimizer="adam"), "not 'adam'; did you mean adamw?"),
        (lambda: Retraining(precision="bfloat"), "did you mean bfloat16?"),
        (
            lambda: Retraining(learning_rate=float("nan")),
            "learning_rate must be above 0, and finite, not nan",
        ),
        (lambda: Accelerator("mine", "", "systolik"), "did you mean systolic?"),
        (lambda: Accelerator("mine", "", "systolic", dataflow="is"), "dataflow is one of os, ws, not 'is'"),
        (lambda: Accelerator("mine", "", "skipping", skipping="bit"), "did you mean bits?"),
        (lambda: rewritten(nn.Identity(), (1, 1, 1), ["equalise"]), "did you mean equalize?"),
    ],
)
def test_the_library_refuses_unknown_names_and_numbers_out_of_range(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
