"""Budgets of a run, and their violations."""
