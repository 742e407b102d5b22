"""task=train: training a float checkpoint, which records how it was trained."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

from torch.optim.swa_utils import AveragedModel, update_bn

from swis.data.image_sets import loader
from swis.data.split import check_classes
from swis.evaluation.predict import predict, score
from swis.experiments.config import Config
from swis.experiments.preflight import check_fit
from swis.experiments.shared_images import drawn
from swis.networks.models import load_network, new_network, save_checkpoint
from swis.options.option import identity
from swis.options.training import FloatTraining
from swis.results import records
from swis.runtime.devices import pick_device
from swis.runtime.progress import tqdm
from swis.training.float_training import epoch_generator, shuffled, train

_OF_NEW_NETWORKS = ("input_size", "mean", "std")  # trained networks have their own preprocessing


def run(config: Config, command: str) -> str:
    """Train the configured architecture, write a checkpoint with its settings, and return its accuracy.

    Training starts from scratch, or, with ``recipe.finetune``, from ``model.weights`` with their
    preprocessing. With ``recipe.average`` above 1 the checkpoint has the mean of the weights at the ends of
    that many last stages (stochastic weight averaging); the statistics of its batch normalisation are
    estimated again on the training images. An interrupted training continues when the same command is given
    again.
    """
    recipe, used = config.recipe, asdict(config.recipe)
    device = pick_device(config.device)
    train_split, test_split = (
        drawn(config.data, name, config.data.limit, config.seed) for name in ("train", config.data.split)
    )
    check_classes(train_split, test_split)
    if recipe.finetune:
        used = {key: value for key, value in used.items() if key not in _OF_NEW_NETWORKS}
        network = load_network(config.model)
        check_fit(config.model.label, network, train_split.name, train_split.num_classes)
    else:
        inputs = {key: used[key] for key in _OF_NEW_NETWORKS}
        inputs |= {"interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center"}
        network = new_network(config.model, train_split.num_classes, inputs, config.seed)
    transform, channels = network.transform(), network.channels
    output = Path(recipe.output)
    facts = {
        "command": command,
        "data": test_split.name,
        "train_digest": train_split.digest,
        "images_digest": test_split.digest,
        "seed": str(config.seed),
        "recipe": json.dumps(used),
        **{key: str(value) for key, value in records.provenance().items()},
    }

    shared = identity(FloatTraining(**{each.name: used[each.name] for each in fields(FloatTraining)}))
    states = [output.with_suffix(f".stage{number}.state") for number in range(len(recipe.stages))]
    averaged = AveragedModel(network.module)
    for number, state_path in enumerate(states):
        history = [
            network.digest,
            network.inputs,
            train_split.digest,
            config.seed,
            shared,
            [identity(stage) for stage in recipe.stages[: number + 1]],
        ]
        train(
            network.module,
            train_split.prepared(transform, channels),
            recipe.stages[number],
            recipe,
            seed=100 * config.seed + number,
            identity=json.dumps(history),
            device=device,
            state_path=state_path,
        )
        if number >= len(states) - recipe.average:
            averaged.update_parameters(network.module)
    if recipe.average > 1:
        images, generator = train_split.prepared(transform, channels), epoch_generator(config.seed, 0)
        batches = shuffled(images, recipe.batch_size, generator, config.data.workers)
        update_bn(tqdm(batches, desc="statistics of the averaged network", leave=False), averaged, device)
        network.module.load_state_dict(averaged.module.state_dict())

    # the recorded accuracy is that of the weights in the file, which are rounded
    partial = output.with_name(f"partial_{output.name}")
    save_checkpoint(network, partial, facts)
    saved = load_network(replace(config.model, weights=str(partial)))
    batches = loader(test_split.prepared(transform, channels), config.batch_size, config.data.workers)
    prediction = predict(saved.module, batches, device, "test")
    top1 = score(prediction, prediction.logits)["top1"]
    save_checkpoint(saved, partial, facts | {"top1": f"{top1:.2f}"})
    partial.replace(output)
    for state_path in states:
        state_path.unlink()
    return f"{top1:.2f} % top-1 on {len(test_split)} images of {test_split.name}; weights in {output}"
