"""JSON below ``/api/v1``: one module a resource, each described in ``openapi/<resource>.json``."""
