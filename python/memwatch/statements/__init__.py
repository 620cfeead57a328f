"""Which statement of a cell is running, and what each statement and line costs."""
