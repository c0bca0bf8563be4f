"""Random requests and bytes against a running installation: what must hold whatever they are, see ``campaign``."""
