"""What GPUs ask of the core and a processor does not, checked without one.

Operations are watched as torch hands them out: an Apple GPU has no double precision, and each
value that is read back makes the program wait for the device.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from napari_impartial.core.config import ModelConfig, PredictionConfig, TrainingConfig
from napari_impartial.core.data.scribbles import Scribbles
from napari_impartial.core.data.synthetic_tissue import Tissue
from napari_impartial.core.network.warm_start import mix
from napari_impartial.core.prediction.predict import predict
from napari_impartial.core.training.ema import gather_statistics
from napari_impartial.core.training.messages import Losses
from napari_impartial.core.training.trainer import Trainer, _laid_out_like

# Of so few patches, one thread computes the gradient, as on a GPU: modes hold for one.
FEW = TrainingConfig(batch_size=3, patch_size=64, max_steps=4, validation_fraction=0.0)


class Watch(TorchDispatchMode):
    """Counts reads of values and notes results in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()
        self.double: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        # How many pixels a mask chooses has to be read before they can be indexed.
        masked = name.startswith("index") and any(
            isinstance(one, torch.Tensor) and one.dtype == torch.bool
            for one in (args[1] if len(args) > 1 and isinstance(args[1], list) else ())
        )
        if masked or name in ("_local_scalar_dense", "nonzero", "masked_select"):
            self.reads[name] += 1
        # What numpy hands over lies in the processor's memory still.
        handed_over = name == "lift_fresh"
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64 and not handed_over:
            self.double.append(name)
        return found


def test_the_watch_sees_what_it_is_there_for() -> None:
    with Watch() as watch:
        values = torch.ones(3).double()
        values.sum().item()
        values[values > 0].numel()
        values.nonzero()
    assert "_to_copy" in watch.double
    assert watch.reads == {"_local_scalar_dense": 1, "index": 1, "nonzero": 1}


def test_training_and_prediction_need_no_double_precision(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    with Watch() as watch:
        trainer = Trainer([tiny_tissue.image], [tiny_scribbles], ModelConfig(), FEW, None)
        while not trainer.finished():
            trainer.step()
        trainer.sampler._validation_labels = trainer.sampler.train_labels
        trainer.sampler._validation_windows = [(0, 0, 0)]
        trainer.validate()
        model = trainer.result()
        predict(tiny_tissue.image, model, PredictionConfig(samples=2, reconstruction=True))
    assert trainer.frozen, "each kind of step was watched"
    assert trainer.validation is not None
    assert watch.double == []


def test_a_step_reads_its_losses_and_the_blind_spots_alone(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(
        torch.Tensor, "tolist", lambda values: (read.append(values.numel()), tolist(values))[1]
    )
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], ModelConfig(), FEW, None)
    trainer.step()
    read.clear()
    with Watch() as watch:
        trainer.step()
    assert watch.reads == {"nonzero": 1}
    assert read == [len(dataclasses.fields(Losses))], "all losses at once"


def test_statistics_are_taken_without_reading_anything(
    tiny_tissue: Tissue, tiny_scribbles: Scribbles
) -> None:
    trainer = Trainer([tiny_tissue.image], [tiny_scribbles], ModelConfig(), FEW, None)
    patches = trainer.sampler.plain(7, np.random.default_rng(0))
    with Watch() as watch:
        gather_statistics(trainer.average.network, patches, FEW, trainer.precision)
    assert watch.reads == {}
    # And they are what a plain mean over the batches is.
    first = trainer.average.network.normalizations()[0]
    seen = [torch.zeros(0)]

    def note(layer: Any, arguments: Any) -> None:
        seen.append(arguments[0].float().mean(dim=(0, 2, 3)))

    handle = first.register_forward_pre_hook(note)
    gather_statistics(trainer.average.network, patches, FEW, trainer.precision)
    handle.remove()
    batches = torch.stack(seen[1:])
    assert len(batches) == 3
    torch.testing.assert_close(first.running_mean, batches.mean(dim=0), rtol=0.02, atol=0.01)


def test_mixtures_come_from_pixels_all_over_the_images() -> None:
    """Several images count as one long one, of which every so many-th pixel is taken."""
    rng = np.random.default_rng(0)
    images = [
        torch.from_numpy(rng.random((2, 130, side)).astype(np.float32) + offset)
        for side, offset in ((1100, 0), (901, 3), (700, 9))
    ]
    labels = [torch.zeros(image.shape[1:], dtype=torch.uint8) for image in images]
    labels[0][:9, :9], labels[1][:9, :9] = 1, 2
    together = torch.cat([image.flatten(1) for image in images], dim=1)
    step = together.shape[1] // 100_000
    assert step == 3
    spread = together[:, ::step].double().cov().numpy()
    mixing = mix(images, labels)
    deviation = np.sqrt(np.einsum("vc,cd,vd->v", mixing, spread, mixing))
    np.testing.assert_allclose(deviation, 0.25, rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 6, 3, 3), (4, 6, 1, 1)])
def test_gradients_lie_in_memory_as_parameters_do(shape: tuple[int, ...]) -> None:
    """As the fused optimizer on CUDA asks for."""
    parameter = torch.zeros(shape).to(memory_format=torch.channels_last)
    values = torch.arange(parameter.numel(), dtype=torch.float32).view(shape)
    found = _laid_out_like(parameter, values)
    assert found.stride() == parameter.stride()
    assert torch.equal(found, values)
    assert _laid_out_like(parameter, found) is found
