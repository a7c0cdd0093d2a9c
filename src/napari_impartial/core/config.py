"""Every default, bound, label and tooltip, once.

The dataclasses are frozen snapshots: forms, the command line and the reference pages
are derived from their fields' metadata (see :func:`parameters`), and
:func:`validate` checks values against the same bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .config_fields import Parameter, parameters, setting, validate
from .errors import ImPartialError

__all__ = [
    "LARGEST_SEED",
    "LARGE_PX",
    "POOLINGS",
    "PRESETS",
    "STROKE_STYLES",
    "InstanceConfig",
    "ModelConfig",
    "Parameter",
    "PredictionConfig",
    "Preset",
    "SpotCheckConfig",
    "SuggestionConfig",
    "TrainingConfig",
    "get_preset",
    "parameters",
    "validate",
]

STROKE_STYLES = ("outlines", "lines", "sloppy", "sloppy-lines")
"""What a simulated annotator paints; see :func:`.data.mask_scribbles.simulate`."""

POOLINGS = ("cells", "authors")
"""How figures of merit are taken together over images; see
:func:`napari_impartial.core.instances.metrics.evaluate`."""

LARGE_PX = 1 << 26
"""Images with larger planes are predicted block by block."""

# Generators of random numbers take no larger ones (scikit-learn's and NumPy's older one).
LARGEST_SEED = 2**32 - 1


def _device() -> Any:
    return setting(
        "auto",
        "Device",
        "What computes. auto takes the graphics card if there is one that can be used, cuda "
        "(NVIDIA) or mps (Apple), and otherwise the processor (cpu).",
        choices=("auto", "cpu", "cuda", "mps"),
    )


def _precision() -> Any:
    return setting(
        "auto",
        "Precision",
        "auto computes in bfloat16 (CPU) or mixed precision (CUDA) where the hardware has it.",
        choices=("auto", "float32", "bfloat16"),
    )


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network (see :mod:`napari_impartial.core.network.unet`)."""

    base_features: int = setting(
        16,
        "Features",
        "Feature maps at the first level; each level down has twice as many.",
        minimum=4,
        maximum=128,
    )
    depth: int = setting(
        4, "Depth", "How often the image is halved on the way down.", minimum=1, maximum=6
    )
    norm: str = setting(
        "batch",
        "Normalization",
        "Layer that keeps activations in range: batch learns quickly, none is the paper's.",
        choices=("batch", "none"),
    )
    dropout: float = setting(
        0.2,
        "Dropout",
        "Chance that a feature map is left out, in training and in the Monte-Carlo passes.",
        minimum=0.0,
        maximum=0.9,
        step=0.05,
    )
    dropout_of: str = setting(
        "maps",
        "Dropout of",
        "maps: whole feature maps, so that a pass is one function of the image; values: each "
        "value by itself, before the ReLU, as the paper's authors have it.",
        choices=("maps", "values"),
    )
    halving: str = setting(
        "before",
        "Halving of features",
        "Where the decoder halves its feature maps. before: ahead of each upsampling, by a 1 x 1 "
        "convolution; within: in its 3 x 3 convolutions, below a deepest level no wider than the "
        "one above it, as the paper's authors have it.",
        choices=("before", "within"),
    )
    image_pyramid: bool = setting(
        True,
        "Image pyramid",
        "Show the shrunken image to each level of the network, not to the first alone.",
    )
    components_per_class: int = setting(
        2,
        "Components per class",
        "Typical colours that each class may have in the quantized reconstruction.",
        minimum=1,
        maximum=8,
    )


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of training (:mod:`napari_impartial.core.training.fit`)."""

    preset: str = setting(
        "balanced",
        "Preset",
        "A tested bundle of settings: how much time is given to reach how good a result.",
        choices=("fast", "balanced", "paper"),
    )
    time_budget_s: float = setting(
        60.0,
        "Time budget",
        "How long to train, in seconds. More time gives better outlines up to a point; each "
        "preset has the time that it was tested with.",
        minimum=1.0,
        maximum=864000.0,
        unit="s",
    )
    max_steps: int = setting(
        0,
        "Most steps",
        "Train so many steps, whatever time they take; 0 means the time budget decides.",
        minimum=0,
    )
    objective: str = setting(
        "joint",
        "Objective",
        "Which parts of the loss are learned from (the ablation of the paper's Table 2).",
        choices=("joint", "scribble", "reconstruction"),
    )
    reconstruction: str = setting(
        "mixture",
        "Reconstruction loss",
        "mixture: expected loss over the components; mean: loss of the expected value.",
        choices=("mixture", "mean"),
    )
    scribble_weight: float = setting(
        0.9, "Scribble weight", "Weight of the scribble loss.", minimum=0.0, maximum=10.0
    )
    implied_labels: bool = setting(
        True,
        "Implied labels",
        "Learn what strokes imply, too: all inside a closed foreground stroke is the cell, and "
        "where two annotated cells touch is a line of background (from half of the budget on, "
        "from the beginning where training goes on from a model).",
    )
    nuclear_channel: str = setting(
        "",
        "Nuclear channel",
        "Channel that shows a nucleus in each cell, by its name or its number from 0: training "
        "learns to part cells that touch between their nuclei, also where nothing is painted. "
        "Empty for none.",
        unit="channel",
    )
    reconstruction_weight: float = setting(
        3.0,
        "Reconstruction weight",
        "Weight of the blind-spot reconstruction loss.",
        minimum=0.0,
        maximum=10.0,
    )
    total_variation_weight: float = setting(
        0.0,
        "Smoothness weight",
        "Weight of the total variation of the class probabilities.",
        minimum=0.0,
        maximum=10.0,
    )
    edge_weight: float = setting(
        0.2,
        "Edge weight",
        "How strongly outlines are drawn to where the brightness changes, where nothing is "
        "painted; 0 not at all.",
        minimum=0.0,
        maximum=10.0,
    )
    patch_size: int = setting(
        128, "Patch size", "Side of a training patch.", minimum=16, maximum=1024, unit="px"
    )
    class_balance: str = setting(
        "patch",
        "Class balance",
        "Over what the scribble loss weighs classes alike: each patch by itself, or the whole "
        "batch, as the paper's authors have it.",
        choices=("patch", "batch"),
    )
    batch_size: int = setting(4, "Batch size", "Patches in a step.", minimum=1, maximum=256)
    scribble_patch_fraction: float = setting(
        0.75,
        "Patches at scribbles",
        "Share of the patches that are placed around scribbles; the rest lie anywhere.",
        minimum=0.0,
        maximum=1.0,
    )
    blind_spot_fraction: float = setting(
        0.05,
        "Blind spots",
        "Share of a patch's pixels that are hidden from the network.",
        minimum=0.0,
        maximum=0.9,
    )
    blind_spot_channels: str = setting(
        "together",
        "Blind spots of channels",
        "Whether a pixel is hidden in all channels together, or in each channel separately, as "
        "the paper's authors have it.",
        choices=("together", "separately"),
    )
    blind_spot_window: int = setting(
        10,
        "Blind-spot window",
        "Side of the window that a hidden pixel's stand-in is drawn from.",
        minimum=2,
        maximum=64,
        unit="px",
    )
    intensity_jitter: float = setting(
        0.1,
        "Intensity jitter",
        "How strongly brightness and contrast of each channel are varied in training.",
        minimum=0.0,
        maximum=1.0,
    )
    zoom_jitter: float = setting(
        0.3,
        "Zoom jitter",
        "Patches are enlarged or shrunk by up to e to the power of this.",
        minimum=0.0,
        maximum=1.5,
    )
    half_size_fraction: float = setting(
        0.2,
        "Patches at half size",
        "Share of the patches that are shown at half their size, so that the second opinion, the "
        "view at half size, is learned too.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    blur_jitter_px: float = setting(
        2.0,
        "Blur jitter",
        "A quarter of the patches are smoothed by up to this standard deviation.",
        minimum=0.0,
        maximum=10.0,
        unit="px",
    )
    noise_jitter: float = setting(
        0.05,
        "Noise jitter",
        "Half of the patches get noise of up to this standard deviation, as a share of the "
        "image's intensity range.",
        minimum=0.0,
        maximum=2.0,
    )
    validation_fraction: float = setting(
        0.1,
        "Held-out share",
        "Share of the scribbled blocks whose strokes are kept out of training to judge the "
        "weights; none are where strokes are few, and there is no validation curve then.",
        minimum=0.0,
        maximum=0.5,
    )
    learning_rate: float = setting(
        5e-3, "Learning rate", "Highest step size of the optimizer.", minimum=1e-6, maximum=1.0
    )
    weight_decay: float = setting(
        1e-4, "Weight decay", "How strongly weights are drawn to zero.", minimum=0.0, maximum=1.0
    )
    optimizer: str = setting(
        "adamw", "Optimizer", "adam is the paper's.", choices=("adamw", "adam")
    )
    schedule: str = setting(
        "budget",
        "Learning-rate schedule",
        "budget: warm-up, then a cosine to zero over the time budget; exponential: the paper's, "
        "0.96 times as much every 2 of 200 epochs, so that it ends at 0.018 of its start; steady: "
        "always the same, for a training that goes on until it is stopped.",
        choices=("budget", "exponential", "steady"),
    )
    freeze_norm_at: float = setting(
        0.5,
        "Freeze normalization at",
        "Share of the budget from which the statistics of batch normalization stay as they are, so "
        "that training sees what prediction will; 1 never freezes them.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    ema_decay: float = setting(
        0.99,
        "Weight averaging",
        "Decay of the running mean of the weights; 0 switches it off.",
        minimum=0.0,
        maximum=0.9999,
    )
    warm_start: bool = setting(
        True,
        "Warm start",
        "Begin with weights that know cells already, where the network has their shape; otherwise "
        "with random ones.",
    )
    first_weights: str = setting(
        "",
        "First weights",
        "Model file that a warm start begins with, in place of the weights that come with the "
        "program; empty for these.",
    )
    seed: int = setting(
        0,
        "Seed",
        "Same seed and number of steps, on the same processor: same model.",
        minimum=0,
        maximum=LARGEST_SEED,
    )
    device: str = _device()
    precision: str = _precision()


@dataclass(frozen=True)
class PredictionConfig:
    """Settings of prediction (:mod:`napari_impartial.core.prediction.predict`)."""

    samples: int = setting(
        4,
        "Monte-Carlo samples",
        "Passes with dropout on. More take longer, and change the heatmap little; "
        "0 is one pass without dropout.",
        minimum=0,
        maximum=256,
    )
    tile_size: int = setting(
        512,
        "Tile size",
        "Side of the tiles a large image is cut into.",
        minimum=64,
        maximum=8192,
        unit="px",
    )
    second_opinion: bool = setting(
        True,
        "Second opinion",
        "Also look at the image at half and a quarter of its size, to deny specks and fill holes "
        "that noise and texture make. Left out with models whose views at these sizes contradict "
        "the strokes that they were trained on.",
    )
    reconstruction: bool = setting(
        False, "Reconstruction", "Also return the denoised, quantized image."
    )
    seed: int = setting(
        0, "Seed", "Seed of the Monte-Carlo passes.", minimum=0, maximum=LARGEST_SEED
    )
    device: str = _device()
    precision: str = _precision()


@dataclass(frozen=True)
class InstanceConfig:
    """Settings of the cut into objects (:mod:`napari_impartial.core.instances.cutter`)."""

    split: str = setting(
        "automatic",
        "Split",
        "How cells that touch are told apart. automatic gives each object the outline that looks "
        "most like one whole cell; watershed outlines all at the threshold and cuts clumps at "
        "their waists; components leaves what touches in one piece.",
        choices=("automatic", "watershed", "components"),
    )
    threshold: float = setting(
        0.5,
        "Threshold",
        "Foreground probability from which a pixel belongs to an object. Split automatically, "
        "higher leaves fewer and surer objects.",
        minimum=0.01,
        maximum=0.99,
        step=0.01,
    )
    min_size_px: int = setting(
        40, "Smallest size", "Smaller objects are dropped.", minimum=0, maximum=100000, unit="px"
    )
    split_strength: float = setting(
        0.6,
        "Split strength",
        "0 keeps touching cells together, 1 cuts at the slightest waist.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    sharpen: float = setting(
        1.0,
        "Sharpen",
        "How many times surer the map of cells is made before it is split automatically: more "
        "keeps cells that the model is unsure of. 1 leaves it as it is.",
        minimum=1.0,
        maximum=8.0,
        step=0.5,
    )
    smooth_px: float = setting(
        0.5,
        "Smooth",
        "Makes outlines smoother: the probability is blurred over so many pixels before objects "
        "are cut out. Much of it loses small objects.",
        minimum=0.0,
        maximum=10.0,
        step=0.5,
        unit="px",
    )
    grow_px: int = setting(
        0,
        "Grow",
        "Grow each object by so many pixels without merging.",
        minimum=0,
        maximum=50,
        unit="px",
    )


@dataclass(frozen=True)
class SuggestionConfig:
    """Settings of the suggestions (:mod:`napari_impartial.core.prediction.suggestions`)."""

    count: int = setting(
        10, "Suggestions", "How many places are suggested.", minimum=1, maximum=500
    )
    box_px: int = setting(
        48,
        "Box",
        "Side of the box drawn round a suggestion; at most a fifth of the image.",
        minimum=8,
        maximum=1024,
        unit="px",
    )
    least_doubt: float = setting(
        0.5,
        "Least doubt",
        "Entropy that a place has to reach over a few pixels, from 0 to 1, to be suggested; and "
        "along outlines, which are unsure everywhere, over more than a line. Below that the model "
        "has made up its mind, and the list ends.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )


@dataclass(frozen=True)
class SpotCheckConfig:
    """Settings of the sample that is judged (:mod:`napari_impartial.core.review.spot_check`)."""

    units: int = setting(
        60,
        "Look at",
        "How many objects and places to judge, two thirds of them objects. Sixty take about five "
        "minutes; four times as many halve the width of the limits.",
        minimum=6,
        maximum=10_000,
    )
    seed: int = setting(
        0,
        "Seed",
        "The same seed and objects give the same sample.",
        minimum=0,
        maximum=LARGEST_SEED,
    )


@dataclass(frozen=True)
class Preset:
    """Named settings of all stages.

    How a model predicts and how its maps are cut, where it is not told otherwise, goes into
    the model's card.
    """

    name: str
    label: str
    tooltip: str
    model: ModelConfig
    training: TrainingConfig
    prediction: PredictionConfig = PredictionConfig()
    instances: InstanceConfig = InstanceConfig()


def _paper() -> Preset:
    """Return the settings as published, for comparison (docs, *Method*).

    What the paper leaves open is as the authors' public configuration has it.
    """
    return Preset(
        "paper",
        "Paper",
        "The authors' published settings; meant for a GPU, slow without one.",
        ModelConfig(
            base_features=64,
            norm="none",
            dropout=0.5,
            dropout_of="values",
            halving="within",
            image_pyramid=False,
        ),
        TrainingConfig(
            preset="paper",
            time_budget_s=1200.0,
            implied_labels=False,
            reconstruction="mean",
            reconstruction_weight=0.1,
            edge_weight=0.0,
            blind_spot_fraction=0.2,
            blind_spot_channels="separately",
            class_balance="batch",
            scribble_patch_fraction=0.6,
            intensity_jitter=0.0,
            zoom_jitter=0.0,
            half_size_fraction=0.0,
            blur_jitter_px=0.0,
            noise_jitter=0.0,
            learning_rate=5e-4,
            weight_decay=1e-4,
            optimizer="adam",
            schedule="exponential",
            freeze_norm_at=1.0,
            ema_decay=0.0,
            warm_start=False,
            batch_size=32,
        ),
        PredictionConfig(samples=3, second_opinion=False),
        InstanceConfig(split="components", threshold=0.8, min_size_px=5, smooth_px=0.0, grow_px=2),
    )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "fast": Preset(
            "fast",
            "Fast",
            "A first answer in seconds.",
            ModelConfig(),
            TrainingConfig(preset="fast", time_budget_s=15.0),
        ),
        "balanced": Preset(
            "balanced",
            "Balanced",
            "A good result in about a minute.",
            ModelConfig(),
            TrainingConfig(),
        ),
        "paper": _paper(),
    }
)


def get_preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises
    ------
    ImPartialError
        If there is none.
    """
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(PRESETS)
        raise ImPartialError(f"There is no preset {name!r}; choose one of {known}.") from None
