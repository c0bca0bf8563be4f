"""Accounts for every record: what was acknowledged, what each stage holds, and the one fate of each.

``stages``, ``stream_stage`` and ``ledger`` read (``connect`` finds an installation's stages), ``fates`` and
``stream_fates`` give each record of a path its fate
(SQL over coordinates), ``report`` holds the rows and the exit code. The rules stand in ``docs/guarantees.md``.
"""
