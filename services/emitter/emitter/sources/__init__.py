"""Where rows come from: JSONL files, a SQL database, or a seeded generator."""
