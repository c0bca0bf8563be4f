"""What two processes of the pipeline must agree on: names, events, envelopes, hashes.

No I/O, no clients, no Spark types. ``docs/wire.md`` shows the same formats to other programs.
"""
