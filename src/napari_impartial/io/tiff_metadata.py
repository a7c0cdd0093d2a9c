"""Metadata of OME-TIFF and ImageJ files: channels, pixel size and further files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from napari_impartial.core.errors import note

from .content import Content
from .units import in_one_unit, positive

# Aperio's scanners write "... |AppMag = 20|MPP = 0.4990|..." into the description: µm a pixel.
_APERIO_UM = re.compile(r"\|\s*MPP\s*=\s*([0-9.]+)")
# Of a microscope's picture: printers' resolutions (600 to an inch are 42 µm) say nothing.
_LARGEST_UM = 20.0
_UM_OF_UNIT = {2: 25400.0, 3: 10000.0}  # an inch, a centimetre
# A label that Bio-Formats gives a channel in ImageJ.
_BIO_FORMATS = re.compile(r"c:\d+/\d+\b")
_COLOURS = ("red", "green", "blue")


def ome_files(xml: str) -> list[str]:
    """Return the names of all files that OME metadata say the image lies in."""
    root = _parsed(xml)
    if root is None:
        return []
    names = (element.get("FileName") for element in root.iterfind(".//{*}TiffData/{*}UUID"))
    return list(dict.fromkeys(name for name in names if name))


def ome_metadata(content: Content, xml: str, file: Path) -> Content:
    """Add the channel names and pixel size of the first image in OME metadata."""
    root = _parsed(xml)
    pixels = None if root is None else root.find(".//{*}Image/{*}Pixels")
    if pixels is None:
        return content
    found: list[str] = []
    for channel in pixels.findall("{*}Channel"):
        name, samples = channel.get("Name") or "", channel.get("SamplesPerPixel") or "1"
        count = int(samples) if samples.isdecimal() else 1
        if count == 1 or not name:
            found += [name] * min(count, 64)
        else:
            found += [f"{name} {_part(i, content.colour)}" for i in range(min(count, 64))]
    sizes = {letter: pixels.get(f"PhysicalSize{letter}") for letter in "YXZ"}
    units = {letter: pixels.get(f"PhysicalSize{letter}Unit", "µm") for letter in "YXZ"}
    sizes["T"], units["T"] = pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
    size, spacing = in_one_unit(sizes, units, file)
    unit = "" if size is None or units["X"] == "pixel" else units["X"]
    names = tuple(found) if any(found) else None
    return replace(content, channel_names=names, pixel_size=size, pixel_unit=unit, spacing=spacing)


def imagej_metadata(content: Content, tif: tifffile.TiffFile, file: Path) -> Content:
    """Add the channel names and pixel size of an ImageJ file."""
    metadata = tif.imagej_metadata or {}
    if "c0" in metadata or "c1" in metadata:
        # numbers that were signed, or are an optical density, say
        unit = f" ({metadata['vunit']})" if metadata.get("vunit") else ""
        note(
            f"{file} has values that ImageJ shows calibrated{unit}; they are taken as they are "
            "stored."
        )
    labels = metadata.get("Labels")
    count = int(metadata.get("channels", 1))
    names = None
    if isinstance(labels, list):
        names = tuple(_stain(str(label)) for label in labels)
        planes = [names[i : i + count] for i in range(0, len(names), count)]
        if count > 1 and all(plane == planes[0] for plane in planes):
            names = planes[0]  # the same in each slice
    unit = _unit(metadata, "unit")
    sizes = {"Z": metadata.get("spacing"), "T": metadata.get("finterval")}
    units = {"X": unit, "T": str(metadata.get("tunit") or "sec")}
    units |= {letter: _unit(metadata, f"{letter.lower()}unit") or unit for letter in "YZ"}
    if unit:
        tags = tif.series[0].keyframe.tags
        per_unit = {letter: tags.valueof(f"{letter}Resolution") for letter in "YX"}
        if all(isinstance(ratio, tuple) and ratio[0] for ratio in per_unit.values()):
            sizes |= {letter: ratio[1] / ratio[0] for letter, ratio in per_unit.items()}
    size, spacing = in_one_unit(sizes, units, file)
    return replace(
        content,
        channel_names=names,
        pixel_size=size,
        pixel_unit=unit if size else "",
        spacing=spacing,
    )


def plain_metadata(content: Content, page: Any) -> Content:
    """Add the pixel size that Aperio's description of a slide says, or else the resolution tags."""
    said = _APERIO_UM.search(str(page.description or ""))
    per_unit = [page.tags.valueof(f"{letter}Resolution") for letter in "YX"]
    unit = _UM_OF_UNIT.get(int(page.tags.valueof("ResolutionUnit", 2)))
    if said is not None:
        height = width = positive(said[1])
    elif unit is not None and all(isinstance(ratio, tuple) and ratio[0] for ratio in per_unit):
        height, width = (positive(unit * ratio[1] / ratio[0]) for ratio in per_unit)
    else:
        return content
    if not height or not width or (said is None and max(height, width) > _LARGEST_UM):
        return content
    return replace(content, pixel_size=(height, width), pixel_unit="µm")


def _unit(metadata: dict[str, Any], name: str) -> str:
    """Return a unit of length that ImageJ gives; empty for none, and for inches of printers."""
    unit = str(metadata.get(name) or "")
    for other in ("\\u00B5", "\N{GREEK SMALL LETTER MU}"):
        unit = unit.replace(other, "µ")
    return {"micron": "µm", "microns": "µm", "um": "µm", "pixel": "", "inch": ""}.get(unit, unit)


def _parsed(xml: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None


def _part(index: int, colour: bool) -> str:
    return _COLOURS[index] if colour and index < len(_COLOURS) else str(index + 1)


def _stain(label: str) -> str:
    """Return a slice's label less the file that Bio-Formats writes into it.

    "c:1/3 - slide 7.czi" is the first channel of three, whatever the slide: it has no name.
    """
    return "" if _BIO_FORMATS.match(label) else label
