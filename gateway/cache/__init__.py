"""Results that need not be made again."""
