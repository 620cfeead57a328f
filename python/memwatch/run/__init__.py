"""Execute notebooks and measure their cells: ``memwatch run``."""
