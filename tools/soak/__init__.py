"""A long trial of what must never go wrong: kills, damaged files and wrong command lines."""
