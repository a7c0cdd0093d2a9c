"""Train a model from images and a few scribbles.

Scribbles are label images on the image's grid (0 not annotated, 1 background,
2 foreground, 3 and up further classes), or ImageJ ROI zips of some whole cells.
Ctrl-C (SIGTERM, SIGHUP) stops early and keeps the best weights so far.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_impartial.core.config import ModelConfig, TrainingConfig, parameters
from napari_impartial.core.errors import ImPartialError

from .options import add_reading, add_settings, flag, override, training_settings
from .output import ProgressBar, ensure_folder, number_text, write_line

if TYPE_CHECKING:
    from napari_impartial.core.network.model_file import TrainedModel

EPILOG = """\
example:
  napari-impartial train a.tif b.tif --scribbles a_scribbles.tif b_scribbles.tif \\
      --model cells.impartial --preset fast
  napari-impartial train a.tif --scribbles a_more.tif --init cells.impartial \\
      --model cells2.impartial --time-budget-s 20"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="TIFF, OME-TIFF, PNG, JPEG or NPY."
    )
    parser.add_argument(
        "--scribbles",
        nargs="+",
        type=Path,
        required=True,
        metavar="S",
        help="One file for each image, in the same order.",
    )
    parser.add_argument(
        "--partial-masks",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="The scribble images are partial instance masks: some whole cells, an id each. "
        "--no-partial-masks: they are strokes, whatever they look like.",
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="OUT", help="File to write the model to."
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="MODEL",
        help="Go on from this model, with its settings unless others are given.",
    )
    parser.add_argument(
        "--class-names",
        nargs="+",
        default=(),
        metavar="NAME",
        help="What the kinds of cell are called, in the order of their labels from 2 on; kept in "
        "the model and written into tables and outlines. Outlined cells of classes with these "
        "names are learned as these kinds.",
    )
    parser.add_argument(
        "--scale-over",
        choices=("plane", "volume"),
        help="What intensities are scaled by: each plane of a stack, or the volume that it is of; "
        "with volume, the haze of what lies above and below stays dim. The model keeps it "
        "(default: plane, or as the model of --init).",
    )
    add_reading(parser)
    add_settings(parser, TrainingConfig, "training")
    add_settings(parser, ModelConfig, "network")


def settings(
    args: argparse.Namespace, init: TrainedModel | None
) -> tuple[ModelConfig, TrainingConfig]:
    """Return the settings: of the preset, or of the model that is continued.

    Raises
    ------
    ImPartialError
        If the network of a trained model, or what it began with, would be changed.
    """
    if init is None:
        return training_settings(args)
    from .progress import check_no_network_options

    network = [name for name in parameters(ModelConfig) if getattr(args, name) is not None]
    check_no_network_options([flag(name) for name in network])
    if args.warm_start is not None or args.first_weights is not None:
        raise ImPartialError(
            "--warm-start and --first-weights are for networks that are new; leave them out, or "
            "train without --init."
        )
    if args.preset is not None:
        _, training = training_settings(args)
    else:
        # The device is this machine's business and not the model's.
        inherited = dataclasses.replace(init.card.training, device="auto")
        if args.time_budget_s is not None:
            # a number of steps that nobody asked for now would leave the time unheeded
            inherited = dataclasses.replace(inherited, max_steps=0)
        training = override(inherited, args)
    return init.card.model, training


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train and save; see :mod:`napari_impartial.cli.main` for how errors end."""
    from .inputs import Reading, check_not_inputs, fit_channels, read_training_files

    if args.model.is_dir():
        raise ImPartialError(f"{args.model} is a folder; name a file for --model.")
    # Over the model that it goes on from it may write: the file is whole at any moment.
    check_not_inputs([args.model], [*args.images, *args.scribbles], "--model")
    ensure_folder(args.model.parent)
    over, kinds = args.scale_over, args.class_names
    if args.init is not None:
        from napari_impartial.core.data.class_names import check_order
        from napari_impartial.core.network.model_card import read_card

        card = read_card(args.init)
        over = over or card.scaled_over
        check_order(kinds, card.class_names[1:])
        kinds = [*kinds, *card.class_names[1 + len(kinds) :]]
    reading = dataclasses.replace(Reading.of(args), over_volume=over == "volume")
    images, scribbles = read_training_files(
        args.images, args.scribbles, reading, args.partial_masks, kinds
    )
    init = None
    if args.init is not None:
        from napari_impartial.core.data.channels import is_generic
        from napari_impartial.core.network.model_file import load_model

        init = load_model(args.init)
        names = init.card.channel_names
        images = [fit_channels(image, names, reading, f"{args.init} takes") for image in images]
        if reading.chosen and not is_generic(names):
            # Whatever the picked channels are called, they are those that the model knows.
            images = [dataclasses.replace(image, channel_names=names) for image in images]
    model_config, training_config = settings(args, init)

    from napari_impartial.core.network.model_file import save_model_anywhere
    from napari_impartial.core.training.fit import fit

    from .progress import drive, progress_note

    with ProgressBar("training") as bar:
        model, stopped = drive(
            fit(images, scribbles, model_config, training_config, init, args.class_names),
            lambda progress: bar.update(progress.fraction, progress_note(progress)),
        )
    path, why = save_model_anywhere(model, args.model)
    if why:
        write_line(f"{why} The model has been written to {path} instead; move it from there.")
    if stopped:
        name = "Ctrl-C" if stopped == signal.SIGINT else signal.Signals(stopped).name
        write_line(f"Stopped by {name}; the best weights so far are in {path}.")
    card = model.card
    before = (init.card.seconds, init.card.steps) if init else (0.0, 0)
    return {
        "model": path,
        "seconds": card.seconds - before[0],
        "steps": card.steps - before[1],
        "device": card.device,
        "best_validation_loss": card.best_validation_loss,
        "parameters": card.parameters,
        "verdict": card.strokes.verdict() if card.strokes else "",
        "strokes": dataclasses.asdict(card.strokes) if card.strokes else None,
        "preset": training_config.preset,
        "images": len(images),
        "channel_names": card.channel_names,
        "class_names": card.class_names,
        "rounds": card.rounds,
        "stopped": bool(stopped),
        "exit_status": 128 + stopped if stopped else 2 if why else 0,
    }


def describe(result: dict[str, Any]) -> str:
    """Return the result in words."""
    return (
        f"{result['model']}: {result['steps']} steps in {result['seconds']:.1f} s on "
        f"{result['device']}, {result['parameters']} parameters, "
        f"held-out loss {number_text(result['best_validation_loss'])}. {result['verdict']}"
    ).rstrip()
