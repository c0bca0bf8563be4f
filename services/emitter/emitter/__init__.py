"""Reads source rows and posts them down both paths, with a ledger of what was sent and what was acknowledged."""
