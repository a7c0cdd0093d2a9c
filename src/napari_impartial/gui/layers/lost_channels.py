"""Messages about layers that can no longer be channels of an image."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from napari.layers import Layer

from napari_impartial.core.data.channels import count_channels

from . import Source


def lost_channels(source: Source, lost: Sequence[Layer], present: Collection[Layer]) -> list[str]:
    """Say which layers were lost and what is left, one sentence for each reason.

    Parameters
    ----------
    source
        The image without them.
    lost
        At least one.
    present
        Layers that are in the viewer; those of `lost` that are not were removed.
    """
    removed = [f"'{layer.name}'" for layer in lost if layer not in present]
    changed = [f"'{layer.name}'" for layer in lost if layer in present]
    names = source.channel_names
    # The only layer names the image, and so its channel has no name to tell.
    left = count_channels(names) if len(names) > 1 else "1 channel"
    now = f"'{source.name}' now has {left}."
    said = []
    if removed:
        was = "was" if len(removed) == 1 else "were"
        said.append(f"{' and '.join(removed)} {was} removed: {now}")
    if changed:
        have = "has" if len(changed) == 1 else "have"
        said.append(
            f"{' and '.join(changed)} no longer {have} as many pixels as '{source.name}': {now}"
        )
    return said
