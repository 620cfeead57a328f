"""From windows to reports: cells, blocks, child processes, this machine."""
