"""Kinesis streams → cleaned Delta tables, and how popular each profile is now."""
