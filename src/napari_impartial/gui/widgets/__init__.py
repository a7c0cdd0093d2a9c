"""The panels of the dock widget, one a file.

An editor has ``value()``, ``setValue()`` and ``valueChanged``; a button that asks for
something is a signal of its panel. Panels know nothing of each other.
"""
