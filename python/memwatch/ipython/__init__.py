"""IPython and Jupyter: cells, magics, configuration."""
