"""Starting Spark: a JVM without spark-submit, the one session builder, the fence of a lake. Knows no event."""
