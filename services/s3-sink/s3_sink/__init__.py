"""Archives Kafka topics as S3 objects, from the connector files that MSK Connect gets."""
