"""Deploys the templates beside this package, into AWS or into LocalStack, and the topics into Kafka."""
