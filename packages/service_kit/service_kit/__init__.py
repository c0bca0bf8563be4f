"""Plumbing of a service: settings, JSON logs, health and metrics, shutdown, retries. It names no event."""
