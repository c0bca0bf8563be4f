"""One record's whole way and fate, and what is held in quarantine. Queries are made on request, and bounded."""
