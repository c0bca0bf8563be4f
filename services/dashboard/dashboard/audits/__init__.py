"""Stored audits: read from their folder, and what they mean for whoever looks."""
