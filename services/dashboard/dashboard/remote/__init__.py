"""Clients of services whose answers are shown: bounded in time and size."""
