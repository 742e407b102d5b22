"""Services for every run: progress bars, warnings, atomic files, locks, checksums, caches and memory."""
