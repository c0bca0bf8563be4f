import xml.etree.ElementTree as ET

from batch_analyser.charts import bars

SVG = "{http://www.w3.org/2000/svg}"


def test_a_bar_per_row_as_long_as_its_number() -> None:
    picture = ET.fromstring(bars("a < b & c", [("one", 1.0), ("Åland, <art>", 4.0), ("none", -3.0)]))
    widths = [float(bar.get("width", 0)) for bar in picture.iter(f"{SVG}rect")]
    assert widths[0] * 4 == widths[1]
    assert widths[2] == 0
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts[:3] == ["a < b & c", "one", "1"]
    assert "Åland, <art>" in texts


def test_no_rows_make_a_picture_too() -> None:
    assert not list(ET.fromstring(bars("nothing", [])).iter(f"{SVG}rect"))
    assert list(ET.fromstring(bars("zero", [("a", 0.0)])).iter(f"{SVG}rect"))
