"""The tasks of the job ``<id>-batch``. Each module has ``run(spark, settings, …)`` and its report."""
