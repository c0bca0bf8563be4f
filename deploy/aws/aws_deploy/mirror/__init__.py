"""Keeps LocalStack and Kafka as the templates and contracts say, also after they came back empty."""
