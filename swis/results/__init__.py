"""Results on disk: the schema of rows, their files, compaction, artifacts and provenance."""
