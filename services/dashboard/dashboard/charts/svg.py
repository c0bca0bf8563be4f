"""SVG that may stand in a page: rebuilt from known elements and attributes, whatever drew it.

Nothing in it can run, fetch, style or link. What a mark says of itself becomes its tooltip (``title``).
"""

import re
from typing import Final
from xml.etree import ElementTree as ET

_NAMESPACE: Final = "{http://www.w3.org/2000/svg}"
_MOST: Final = 400_000
_ELEMENTS: Final = frozenset({"svg", "g", "path", "text", "tspan", "rect", "line", "circle", "defs", "clipPath"})
_GEOMETRY: Final = re.compile(r"[A-Za-z0-9\s.,()#%+-]*")
_COLOUR: Final = re.compile(r"none|transparent|#[0-9a-fA-F]{3,8}|var\(--[a-z0-9-]+\)")
_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LOCAL: Final = re.compile(r"url\(#([A-Za-z][A-Za-z0-9_]*)\)")
_ATTRIBUTES: Final = {
    **dict.fromkeys(("fill", "stroke"), _COLOUR),
    **dict.fromkeys(("d", "transform", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "dx", "dy"), _GEOMETRY),
    **dict.fromkeys(("width", "height", "viewBox", "opacity", "fill-opacity", "stroke-opacity"), _GEOMETRY),
    **dict.fromkeys(("stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin"), _GEOMETRY),
    **dict.fromkeys(("text-anchor", "font-size", "font-weight", "font-style", "clip-path", "id"), None),
}
_DROPPED: Final = frozenset(
    {"class", "version", "font-family", "pointer-events", "role", "aria-label", "aria-hidden", "aria-roledescription"}
    | {"stroke-miterlimit", "display", "cursor"}
)
_WORD: Final = re.compile(r"[a-z0-9.-]*(px)?")
_LONG_NUMBER: Final = re.compile(r"-?\d+\.\d{2,}")


class UnsafeSvgError(Exception):
    """The text is no SVG of the kind that may stand in a page."""


def checked(text: str, name: str, label: str) -> str:
    """The drawing as markup, told to readers as one picture with this ``label``.

    ``name`` makes its ids unlike those of other drawings in the page.

    Raises:
        UnsafeSvgError: it is too large, no XML, or holds what is not known here.
    """
    if len(text) > _MOST or "<!" in text or "<?" in text:
        raise UnsafeSvgError("a drawing is too large, or has declarations")
    try:
        root = ET.fromstring(text)  # noqa: S314  # declarations, and with them entities, are refused above
    except ET.ParseError as error:
        raise UnsafeSvgError(f"a drawing is no XML: {error}") from error
    if root.tag != f"{_NAMESPACE}svg":
        raise UnsafeSvgError("a drawing is no SVG")
    made = _rebuilt(root, name)
    if made is None or not len(made):
        raise UnsafeSvgError("a drawing is empty")
    made.attrib = {"role": "img", "aria-label": label, "viewBox": made.attrib["viewBox"]} | {
        side: made.attrib[side] for side in ("width", "height")
    }
    return ET.tostring(made, encoding="unicode")


def _rebuilt(element: ET.Element, name: str) -> ET.Element | None:
    """The element, or None where nothing of it can be seen."""
    tag = element.tag.removeprefix(_NAMESPACE)
    if tag not in _ELEMENTS:
        raise UnsafeSvgError(f"a drawing holds the element {tag[:40]}")
    made = ET.Element(tag, dict(_attributes(element, name)))
    if element.get("display") == "none" or (element.get("aria-hidden") == "true" and _is_unseen(element, tag)):
        return None
    if tag in {"text", "tspan"}:
        made.text = element.text
    for child in element:
        if (kept := _rebuilt(child, name)) is not None:
            made.append(kept)
    if tag in {"g", "defs"} and not len(made):
        return None
    if element.get("role") == "graphics-symbol" and not len(element) and tag != "text" and element.get("aria-label"):
        ET.SubElement(made, "title").text = element.get("aria-label")
    return made


def _is_unseen(element: ET.Element, tag: str) -> bool:
    return tag == "path" and element.get("fill") is None and element.get("stroke") is None


def _attributes(element: ET.Element, name: str) -> list[tuple[str, str]]:
    found = []
    for key, value in element.attrib.items():
        if key in _DROPPED:
            continue
        if key not in _ATTRIBUTES:
            raise UnsafeSvgError(f"a drawing holds the attribute {key[:40]}")
        found.append((key, _value(key, value, name)))
    return found


def _value(key: str, value: str, name: str) -> str:
    if key == "id" and _ID.fullmatch(value):
        return f"{name}-{value}"
    if key == "clip-path" and (local := _LOCAL.fullmatch(value)):
        return f"url(#{name}-{local[1]})"
    pattern = _ATTRIBUTES[key] or _WORD
    if key in {"id", "clip-path"} or not pattern.fullmatch(value):
        raise UnsafeSvgError(f"a drawing's attribute {key} holds {value[:40]!r}")
    return _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), value)
