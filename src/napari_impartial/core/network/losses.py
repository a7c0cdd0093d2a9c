"""The losses as pure functions: those of the paper, and that of edges.

Notation: B patches, K classes, M mixture components, C channels, H x W pixels. The
network gives M membership logits and M x C mean maps; component m belongs to class
``m // (M // K)``. All functions take and return float tensors, are differentiable, and
hold for any number of classes, components and channels.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# Added to the mean change of probability between neighbouring pixels of a patch, by which the edge
# loss is divided: 0 / 0 is 0 then, and where next to nothing changes, noise of the prediction is
# not taken for outlines.
_LEAST_CHANGE = 5e-4
# Squared contrasts over so many times the mean count as that much in the mean: a single hot pixel
# would make edges out of nothing else.
_OUTLYING = 20
# Squared contrasts of normalized intensities, on the mean, below which nothing changes.
_LEAST_CONTRAST = 1e-6
# Share of the channels' mean squared contrast within strokes that is added to that of each, since
# a channel that does not vary within strokes would count without bounds.
_SHRINKAGE = 0.1
# As much as the mean is added at this number of pairs of pixels for each channel that varies, and
# less the more pairs there are.
_FEW_PAIRS = 5


def class_log_probability(logits: Tensor, n_classes: int) -> Tensor:
    """Sum the memberships of each class's components, as logarithms.

    Parameters
    ----------
    logits : (B, M, H, W)
        Membership logits; M is a multiple of `n_classes`.
    n_classes : int
        K.

    Returns
    -------
    (B, K, H, W)
        ``log p_k`` with ``p_k = sum_{m in k} softmax(logits)_m``.
    """
    batch, components, *size = logits.shape
    if components % n_classes:
        raise ValueError(f"{components} components cannot be shared among {n_classes} classes")
    log_membership = logits.log_softmax(dim=1)
    grouped = log_membership.view(batch, n_classes, components // n_classes, *size)
    return grouped.logsumexp(dim=2)


def scribble_loss(
    log_probability: Tensor,
    labels: Tensor,
    counts: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Class-balanced cross-entropy on annotated pixels (paper, eq. 2).

    For each patch and each class with annotated pixels in it, the mean of ``-log p_k``
    over these pixels; over the classes, their sum divided by K; over the batch, the mean
    of the patches that have any annotated pixel. Or, with `counts`, classes are balanced over
    the batch: for each class the sum of ``-log p_k`` over its count, divided by K.

    Parameters
    ----------
    log_probability : (B, K, H, W)
    labels : (B, H, W) integer
        0 not annotated, 1 background, 2 ... K foreground classes.
    counts : (K,) Tensor, optional
        Annotated pixels of each class in the whole batch, of which these patches may be a
        part: see :func:`class_counts`.
    weight : (B, H, W), optional
        Factor of each pixel's ``-log p_k``; counts are of pixels, whatever their weight.

    Returns
    -------
    Tensor
        A scalar; 0 (with a gradient of 0) where nothing is annotated.
    """
    n_classes = log_probability.shape[1]
    if counts is not None:
        # The label's own class is looked up; where there is no label, any will do.
        own = log_probability.gather(1, (labels - 1).clamp(min=0)[:, None])[:, 0]
        share = 1.0 / (n_classes * counts.clamp(min=1).to(own.dtype))
        share = torch.cat([share.new_zeros(1), share])[labels]
        share = share if weight is None else share * weight
        return torch.where(labels > 0, -own * share, 0.0).sum()
    loss = log_probability.new_zeros(labels.shape[0])
    annotated = torch.zeros_like(loss, dtype=torch.bool)
    for k in range(n_classes):
        chosen = labels == k + 1
        count = chosen.sum(dim=(1, 2))
        # `where` and not a product: log p may be -inf where nobody looks.
        penalty = torch.where(chosen, -log_probability[:, k], 0.0)
        penalty = (penalty if weight is None else penalty * weight).sum(dim=(1, 2))
        loss = loss + penalty / count.clamp(min=1)
        annotated |= count > 0
    return loss.sum() / (n_classes * annotated.sum().clamp(min=1))


def class_counts(labels: Tensor, n_classes: int) -> Tensor:
    """Count the annotated pixels of each class, (K,), in labels 0 ... K of any shape."""
    return torch.bincount(labels.flatten(), minlength=n_classes + 1)[1 : n_classes + 1]


def component_means(mean_maps: Tensor, membership: Tensor) -> Tensor:
    """Average each component's mean map over the patch, weighted by its membership.

    Parameters
    ----------
    mean_maps : (B, M, C, H, W)
    membership : (B, M, H, W)
        Softmax of the logits.

    Returns
    -------
    (B, M, C)
        ``mu_{m,c}``: the patch's M colours.
    """
    weighted = torch.einsum("bmchw,bmhw->bmc", mean_maps, membership)
    return weighted / membership.sum(dim=(2, 3)).clamp(min=1e-6)[..., None]


def reconstruction_loss(
    target: Tensor, membership: Tensor, means: Tensor, mask: Tensor, form: str = "mixture"
) -> Tensor:
    """Gaussian negative log-likelihood of hidden pixels, variance 1 (paper, eq. 1).

    Parameters
    ----------
    target : (B, C, H, W)
        Original, normalized intensities.
    membership : (B, M, H, W)
    means : (B, M, C)
        From :func:`component_means`.
    mask : (B, H, W) or (B, C, H, W) bool
        Hidden pixels, of all channels together or of each; the others do not count.
    form : {"mixture", "mean"}
        ``mixture``: the membership-weighted sum of each component's loss,
        ``sum_m w_m (x - mu_m)^2 / 2``; ``mean``: the loss of the membership-weighted
        value, ``(x - sum_m w_m mu_m)^2 / 2``.

    Returns
    -------
    Tensor
        A scalar, averaged over hidden pixels (and channels); 0 without hidden pixels.
    """
    expected = torch.einsum("bmhw,bmc->bchw", membership, means)
    if form == "mean":
        error = (target - expected).square()
    elif form == "mixture":
        # sum_m w_m (x - mu_m)^2 = x^2 - 2 x E[mu] + E[mu^2], without an M x C map a pixel.
        second_moment = torch.einsum("bmhw,bmc->bchw", membership, means.square())
        error = target.square() - 2 * target * expected + second_moment
    else:
        raise ValueError(f"form is {form!r}; it has to be 'mixture' or 'mean'")
    hidden = mask[:, None] if mask.ndim == 3 else mask
    count = mask.sum().clamp(min=1) * (target.shape[1] if mask.ndim == 3 else 1)
    return 0.5 * torch.where(hidden, error, 0.0).sum() / count


def total_variation_loss(probability: Tensor) -> Tensor:
    """Mean absolute difference of class probabilities between neighbouring pixels.

    Parameters
    ----------
    probability : (B, K, H, W)

    Returns
    -------
    Tensor
        A scalar: the mean over vertical plus the mean over horizontal neighbours;
        0 for constant probabilities and along sides of one pixel.
    """
    total = probability.new_zeros(())
    for dim in (2, 3):
        if probability.shape[dim] > 1:
            total = total + probability.diff(dim=dim).abs().mean()
    return total


def edge_loss(probability: Tensor, images: Tensor, free: Tensor) -> Tensor:
    """Share of the change of class probabilities that lies where images do not change.

    The total variation with the contrast weights of graph cuts (Boykov and Jolly, 2001; as a loss
    of networks that learn from scribbles: Tang et al., 2018), divided by the total variation. So
    outlines are drawn to edges of the image, and are not made shorter, which would lose
    what is small or thin.

    Parameters
    ----------
    probability : (B, K, H, W)
    images : (B, C, H, W)
        Normalized intensities; H and W are 2 or more. Smoothed over 3 x 3 pixels, since noise has
        no outlines.
    free : (B, H, W) bool
        Pixels that nothing is known of; pairs with others do not count.

    Returns
    -------
    Tensor
        A scalar, 0 to 1: the mean over the batch of ``sum w |dp| / sum |dp|`` over
        neighbouring pixels, with ``w = exp(-|dx|**2 / (2 s**2))`` and s**2 the mean of
        ``|dx|**2`` over the patch, outliers aside.
    """
    smooth = _smoothed(images)
    contrasts, changes = [], []
    for dim in (2, 3):
        contrasts.append(smooth.diff(dim=dim).square().sum(dim=1).flatten(1))
        n = free.shape[dim - 1] - 1
        known = ~(free.narrow(dim - 1, 0, n) & free.narrow(dim - 1, 1, n))
        # Of two classes, as much as the foreground's probability changes.
        change = 0.5 * probability.diff(dim=dim).abs().sum(dim=1)
        changes.append(change.masked_fill(known, 0.0).flatten(1))
    contrast, change = torch.cat(contrasts, dim=1), torch.cat(changes, dim=1)
    mean = contrast.mean(dim=1, keepdim=True)
    usual = contrast.minimum(_OUTLYING * mean).mean(dim=1, keepdim=True).clamp(min=_LEAST_CONTRAST)
    weight = (-contrast / (2 * usual)).exp()
    return ((weight * change).mean(dim=1) / (change.mean(dim=1) + _LEAST_CHANGE)).mean()


def whitening(images: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """Find mixtures of the channels that change as much as each other within foreground strokes.

    A nucleus in a cell has an edge, which is no outline if strokes in cells run across it. So
    contrasts are whitened by those within strokes: the Mahalanobis distance between neighbouring
    pixels, with the covariance of a cell's own contrasts.

    Parameters
    ----------
    images : sequence of (C, Y, X) float tensors
        Normalized; smoothed as in :func:`edge_loss`, without hot pixels.
    labels : sequence of (Y, X) integer tensors
        0 not annotated, 1 background, 2 and up foreground. Neighbouring pixels of one class count
        as within a stroke, whichever strokes they are of.

    Returns
    -------
    (C, C) float32
        On the CPU, symmetric; :func:`edge_loss` of the images times it measures contrasts as said.
        The identity of one channel, and where nothing changes within strokes.
    """
    n_channels = len(images[0])
    second, count = np.zeros((n_channels, n_channels)), 0
    for image, drawn in zip(images, labels, strict=True):
        if n_channels == 1 or not bool((drawn > 1).any()):
            continue
        for contrast in _within_strokes(image, drawn):
            second += contrast @ contrast.T
            count += contrast.shape[1]
    varies = second.diagonal() > _LEAST_CONTRAST * count
    if not varies.any():
        return torch.eye(n_channels)
    mean = second.diagonal()[varies].mean()
    shrinkage = _SHRINKAGE + _FEW_PAIRS * varies.sum() / count
    shrunk = (second / mean + shrinkage * np.eye(n_channels)) / (1 + shrinkage)
    size, direction = np.linalg.eigh(shrunk)
    return torch.from_numpy((direction / np.sqrt(size)) @ direction.T).float()


def _within_strokes(image: Tensor, drawn: Tensor) -> Iterator[NDArray[np.float64]]:
    """Yield (C, N) differences between neighbouring pixels of foreground strokes, by direction."""
    rows, columns = (drawn > 1).any(dim=1).nonzero(), (drawn > 1).any(dim=0).nonzero()
    # With the pixels that smoothing, and looking for hot ones, takes in.
    window = tuple(
        slice(max(int(found.min()) - 2, 0), int(found.max()) + 3) for found in (rows, columns)
    )
    drawn, image = drawn[window], image[(slice(None), *window)]
    smooth = _smoothed(_without_hot_pixels(image)[None])[0]
    for dim in (0, 1):
        n = drawn.shape[dim] - 1
        one, other = drawn.narrow(dim, 0, n), drawn.narrow(dim, 1, n)
        contrast = smooth.diff(dim=dim + 1)[:, (one == other) & (one > 1)]
        # In double precision, which not every device has.
        yield contrast.cpu().numpy().astype(np.float64)


def _without_hot_pixels(image: Tensor) -> Tensor:
    """Return a (C, Y, X) image, no pixel of which is brighter or darker than all around it."""
    padded = F.pad(image[None], (1, 1, 1, 1), mode="replicate")[0]
    _, height, width = image.shape
    around = [
        padded[:, y : y + height, x : x + width]
        for y in range(3)
        for x in range(3)
        if (y, x) != (1, 1)
    ]
    least, most = functools.reduce(torch.minimum, around), functools.reduce(torch.maximum, around)
    return image.clamp(least, most)


def _smoothed(images: Tensor) -> Tensor:
    """Return (B, C, H, W) images averaged over 3 x 3 pixels."""
    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
