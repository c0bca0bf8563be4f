"""The queries that read the streams into tables: their lives, batches and checkpoints."""
