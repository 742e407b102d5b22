"""Tables of results on disk: schema, rows, compaction, artifacts, provenance."""
