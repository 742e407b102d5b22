"""Every option refuses wrong values in one line that names the option; messages suggest corrections."""

import pickle
import re
import shlex
import traceback
from random import Random

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from swis.calibration.block_reconstruction import Reconstruction
from swis.calibration.output_aware import OutputAware
from swis.coding.bitstream import Layout
from swis.errors import DamagedImage, InputError, message_of
from swis.experiments.command import check_options, command_line, explain
from swis.experiments.config import Config, load, register, resolve
from swis.experiments.known_options import option_names
from swis.formats.registry import weight_format
from swis.hardware.accelerator import Accelerator
from swis.networks.channel_rewrite import rewritten
from swis.scheduling.allocation import Schedule
from swis.training.qat import Retraining
from tools.soak.mistakes import SLIP, mistakes

_METHODS = "a list, each one of swis, swis_c, truncate, round, uniform, swis_signed, uniform_group"
# Words of the project's own messages, which suggest what would be right, and words of Hydra and OmegaConf.
_OURS = re.compile(
    "must be|must not be|write|did you mean|there is no|is empty|has no|is for|cannot be used|needs|only"
    "|leave|add"
)
_THEIRS = re.compile("merging|append|full_key|NoneType|Interpolation|force-add|override|Invalid type|Error")


@pytest.fixture(scope="module")
def refusal():
    """Return a function that refuses a NAME=VALUE like run.py, but composes conf/ only once."""
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = pickle.dumps(compose("config"))

    def refused(text: str) -> str | None:
        try:
            command_line([text], Config)
            config, override = pickle.loads(composed), OverridesParser.create().parse_overrides([text])[0]
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            group = override.key_or_group.split(".")[0]
            resolve(config[group] if OmegaConf.is_dict(config[group]) else config)  # the whole takes longer
            resolve(config)
        except InputError as error:
            return str(error)
        except OmegaConfBaseException as error:
            return explain(error)
        return None

    return refused


def test_every_option_refuses_every_kind_of_mistake_in_one_line_that_names_it(refusal):
    every = [*mistakes(Random(0))]
    assert len(every) > 2000
    unclear = []
    for kind, name, text in every:
        message = refusal(text) or ""
        if kind != SLIP and name.split(".")[-1] not in message:
            unclear.append((text, message))
        if "\n" in message or not _OURS.search(message) or _THEIRS.search(message):
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
        (["recipe.stages[0].epochs=3"], "recipe.stages.0.epochs=3"),
        (["bits='3"], "bits=3"),
        (['model.name="a'], "model.name=a"),
        (["model.weights=a (b).pth"], "'model.weights=\"a (b).pth\"'"),
    ],
)
def test_words_that_are_no_option_get_a_suggestion(words, form):
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
        (["~bits"], "~bits: an option cannot be removed; leave it out to use its default"),
        (["+bits=3"], "bits exists already; write bits=3"),
        (["+schedule=greedy"], "schedule exists already; write schedule=greedy"),
        (["data=[cifar10,cifar100]"], "data must be one choice, not a list; a sweep is --multirun data=A,B"),
        (["energy=3"], "energy must be one of nm45, nm45_bitsim, nm45_hp, not 3"),
        (["energy={a: 1}"], "energy must be one of nm45, nm45_bitsim, nm45_hp, not {'a': 1}"),
        (["launch=[2.5]"], "launch must be one choice, not a list; a sweep is --multirun launch=A,B"),
        (["model@data=resnet18"], "model@data=resnet18: an option is written NAME=VALUE, without @"),
        (
            ["rewrites=permute"],
            "rewrites must be a list, each one of equalize, permute; write rewrites=[permute]",
        ),
        (["methods.swis=3"], "methods is a list; write methods=[swis]"),
        (["retrian.epochs=3"], "there is no option retrian.epochs; did you mean retrain.epochs?"),
        (["methods=swis,round"], f"methods must be {_METHODS}; write methods=[swis,round]"),
        (["methods=swsi,round"], f"methods must be {_METHODS}, not swsi,round"),
        (["skip=a,b"], "skip must be a list of names; write skip=[a,b]"),
        (["skip="], "skip must be a list of names, not empty"),
        (["bits="], "bits must be a number, not empty"),
        (["model.weights=null"], "model.weights must be text, not null"),
        (["recipe.stages.epochs=3"], "recipe.stages is a list; write recipe.stages.0.epochs=3"),
        (
            ["recipe.stages.epoch=3"],
            "there is no option recipe.stages.epoch; did you mean recipe.stages.0.epochs?",
        ),
        (["model.mean.x=3"], "model.mean is a list; write model.mean=[3]"),
        (["model.mean.0=3"], "model.mean can only be set as a whole; write model.mean=[...]"),
        (["model.mean[0]=3"], "model.mean can only be set as a whole; write model.mean=[...]"),
        (
            ["data.root=it's"],
            "\"data.root=it's\" is not NAME=VALUE, because a ' is not closed; write data.root=VALUE",
        ),
        (["++schedule=greedy"], "schedule exists already; write schedule=greedy"),
        (["recipe=null"], "recipe must be one of mobilenet_v2, resnet18, resnet20; ~recipe selects none"),
        (["~recipe=resnet18"], "~recipe=resnet18: write ~recipe without a value to select none"),
        (["~energy=nm45"], "~energy=nm45: energy must be one of nm45, nm45_bitsim, nm45_hp"),
        (["hydra=3"], "hydra=3: an option of Hydra is written hydra.NAME=VALUE"),
        (["split=val"], "there is no option split; did you mean data.split or retrain.split?"),
        (["recipe.stages=[{epoch: 3}]"], "there is no option recipe.stages.0.epoch; did you mean epochs?"),
    ],
)
def test_unknown_options_are_refused_with_a_suggestion(words, message):
    with pytest.raises(InputError) as refused:
        command_line(words, Config)
    assert str(refused.value) == message


@pytest.mark.parametrize("words", [["experiment=null"], ["experiment="], ["experiment=[null]"]])
def test_an_empty_experiment_is_refused_with_the_known_ones(words):
    with pytest.raises(InputError, match=r"^experiment must be one of ablation, bandwidth, "):
        command_line(words, Config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["methods.9=swis"], "there is no methods.9; the last is methods.4"),
        (["rewrites.0=permute"], "there is no rewrites.0; rewrites is empty"),
        (["recipe.stages.9.epochs=3"], "there is no recipe.stages.9; the last is recipe.stages.2"),
        (
            ["+model.kwargs.a=1", "+model.kwargs.a=2"],
            "model.kwargs.a exists already; write model.kwargs.a=2",
        ),
        (["bits=range(3)"], "bits=range(3) has several values; add --multirun to run each"),
        (["bits=${bits}"], "bits: ${...} has no value: Recursive interpolation detected"),
        (["methods=[???]"], "methods.0 has no value; write methods.0=VALUE"),
        (["versus=[strips]"], "stripes_activations, swis_c"),
        (["versus=[al]"], "truncation, all, not 'al'; did you mean all?"),
        (["group_size=99999999999999999999"], "group_size must be at most 4294967295, not 9999999"),
        (["energy.units.swis_ss.lanes=5000000000"], "energy.units.swis_ss.lanes must be at most 4294967295"),
        (["recipe.stages.0.image_sizes=[5000000000]"], "recipe.stages.0.image_sizes.0 must be at most"),
        (["seed=-1"], "seed must be at least 0, not -1"),
        (["data.limit=0"], "data.limit must be at least 1, not 0"),
        (["retrain.freeze_threshold=1"], "retrain.freeze_threshold must be in [0, 1), not 1"),
        (["batch_size=0"], "batch_size must be at least 1, not 0"),
        (["minutes=0"], "minutes must be finite and above 0, not 0"),
        (["recipe.stages=[{epochs:0}]"], "recipe.stages.epochs must be at least 1, not 0"),
    ],
)
def test_errors_of_the_composed_configuration_are_explained(words, message):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        load(words)
    assert "accelerator is" not in str(refused.value)


def test_a_message_of_another_process_loses_its_traceback_and_shows_line_ends():
    try:
        raise DamagedImage("a\nb.png is damaged")
    except DamagedImage as error:
        lines = "".join(traceback.format_exception(error))
    assert message_of(DamagedImage(f"Caught it.\nOriginal {lines}")) == r"a\nb.png is damaged"
    assert message_of(DamagedImage("a\nb.png is damaged")) == r"a\nb.png is damaged"


def test_valid_options_are_not_changed():
    for words in (
        ["bits=3", "methods=[swis,round]", "model.kwargs.drop_rate=0.1", "++bits=3", "data.root='a (b)'"],
        ["--multirun", "bits=2,3", "methods=[swis],[round]", "schedule=greedy,uniform", "seed=range(3)"],
        ["experiment=[storage,first_table]", "~recipe", "hydra.launcher.n_jobs=2", "out=${bits}.parquet"],
        ["+energy.units.mine.pj_per_cycle=1.0", "recipe.stages.0.epochs=3", "activation_bits=null"],
        ["--cfg", "job", "-p", "retrain"],
    ):
        assert command_line(words, Config) == words


def test_a_wrong_option_from_python_is_refused_in_one_line():
    for text in ("bit=3", "schedule=gredy", "bits=x", "bits=9", "methods=swis"):
        with pytest.raises(InputError) as refused:
            load([text])
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: weight_format("swsi"), "not 'swsi'; did you mean swis?"),
        (
            lambda: weight_format("swis", clip="mes"),
            "clip must be one of absmax, mse, not 'mes'; did you mean mse?",
        ),
        (
            lambda: weight_format("swis", granularity="row"),
            "granularity must be one of tensor, channel, not 'row'",
        ),
        (lambda: weight_format("swis", selection="joined"), "selection must be one of nearest, joint"),
        (lambda: weight_format("swis", shifts=0), "shifts must be in [1, 8], not 0"),
        (lambda: weight_format("swis", group_size=0), "group_size must be at least 1"),
        (lambda: weight_format("swis", alpha=float("nan")), "alpha must be finite and at least 0, not nan"),
        (lambda: Schedule("gredy"), "not 'gredy'; did you mean greedy?"),
        (lambda: Schedule(scope="net"), "scope must be one of layer, network, not 'net'"),
        (lambda: Schedule(multiple=0), "multiple must be at least 1"),
        (
            lambda: Layout(weight_format("swis", 2, 4), 1, 1, "compakt"),
            "did you mean compact?",
        ),
        (
            lambda: Layout(weight_format("swis", 2, 0), 1, 1, "plain"),
            "group_size must be at least 1",
        ),
        (lambda: OutputAware(order="size"), "order must be one of filter, variance, not 'size'"),
        (lambda: OutputAware(damping=float("inf")), "damping must be finite and above 0, not inf"),
        (lambda: Reconstruction(rate=0), "rate must be in (0, 1], not 0"),
        (lambda: Retraining(optimizer="adam"), "not 'adam'; did you mean adamw?"),
        (lambda: Retraining(precision="bfloat"), "did you mean bfloat16?"),
        (
            lambda: Retraining(learning_rate=float("nan")),
            "learning_rate must be finite and above 0, not nan",
        ),
        (lambda: Accelerator(name="mine", datapath="systolik"), "did you mean systolic?"),
        (
            lambda: Accelerator(name="mine", datapath="systolic", lanes=1, dataflow="is"),
            "dataflow must be one of os, ws, not 'is'",
        ),
        (lambda: Accelerator(name="mine", datapath="skipping", skipping="bit"), "did you mean bits?"),
        (lambda: rewritten(nn.Identity(), (1, 1, 1), ["equalise"]), "did you mean equalize?"),
    ],
)
def test_the_library_refuses_unknown_names_and_numbers_out_of_range(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
