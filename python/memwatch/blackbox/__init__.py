"""The file that outlives a process: recording, reading, post-mortem."""
