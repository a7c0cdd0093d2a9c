"""The napari face.

Nothing is imported here: the training process is started from this package and has to
stay free of Qt and napari.
"""
