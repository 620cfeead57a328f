"""Which of several programs takes less memory: ``memwatch compare``."""
