"""Scheduling: a number of shifts for every filter, from losses, sensitivities and a budget."""
