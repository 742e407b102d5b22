"""Around every run: progress bars, notices, atomic files, checksums, memory."""
