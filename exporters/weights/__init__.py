"""Files of trained weights, as users bring them: what a file is, and what it holds. Nothing of a pickle is ever run."""
