"""One module a page: its blueprint, over sources that are passed in."""
