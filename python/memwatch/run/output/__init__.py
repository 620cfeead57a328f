"""The outputs of a run: metadata, JSON, CSV, the page, the summary."""
