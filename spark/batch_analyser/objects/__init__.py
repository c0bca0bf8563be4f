"""Raw objects: which there are (``listing``), their bytes (``fetch``), from bytes to rows (``pieces`` to ``rows``)."""
