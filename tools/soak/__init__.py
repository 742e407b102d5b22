"""The soak test: thousands of kills, damaged files and wrong command lines."""
