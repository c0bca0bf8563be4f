"""Charts of the answers: described in Vega-Lite, drawn as SVG by a process that ends, then checked."""
