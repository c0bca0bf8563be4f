"""The tables of the stream path: schemas, appends, upkeep, failures."""
