"""Reads the lake's Delta tables by delta-rs alone: no Spark, no Arrow library of Python's, little memory."""
