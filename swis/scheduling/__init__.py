"""How many shifts every filter gets: sensitivities, budgets, allocation."""
