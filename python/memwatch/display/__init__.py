"""Reports as lines, charts, figures and tables."""
