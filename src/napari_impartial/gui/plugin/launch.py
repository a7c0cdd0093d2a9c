"""Open napari with a sample and the dock widget: what the demo shows where there is a screen."""

from __future__ import annotations

PLUGIN = "napari-impartial"


def main(sample: str) -> int:
    """Open the window and wait until it is closed.

    Parameters
    ----------
    sample : str
        Key of one of the plugin's samples, as in its manifest.

    Returns
    -------
    int
        0 once the window was closed.
    """
    import napari

    viewer = napari.Viewer()
    viewer.open_sample(PLUGIN, sample)
    viewer.window.add_plugin_dock_widget(PLUGIN, "ImPartial")
    napari.run()
    return 0
