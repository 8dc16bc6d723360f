"""What works on jobs: claims them, runs them, carries their outcomes, removes what was deleted."""
