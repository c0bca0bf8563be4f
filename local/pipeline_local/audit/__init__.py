"""Accounts for every record: what was acknowledged, what each stage holds, and the one fate of each.

``sources`` reads the stages, ``fates`` gives each stored record its fate (SQL over their coordinates), ``report``
holds the rows and the exit code. The rules stand in ``docs/guarantees.md``.
"""
