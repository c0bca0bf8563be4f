"""``python -I -m dashboard.charts.child``: Vega-Lite on stdin, SVG on stdout, both as JSON by name; then it ends.

A process of its own, since what draws stays at a third of the dashboard's memory once it was loaded.
"""

import json
import os
import sys

import vl_convert


def main() -> int:
    """Draw each description; one that cannot be drawn is left out, and its error told beside."""
    os.nice(10)
    asked = json.load(sys.stdin)
    drawn: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name, spec in asked.items():
        try:
            # Descriptions hold their data; nothing may be fetched for them.
            drawn[name] = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
        except ValueError as error:
            failed[name] = str(error)[:500]
    json.dump({"drawn": drawn, "failed": failed}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
