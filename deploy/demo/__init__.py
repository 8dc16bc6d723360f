"""The demo: sample photos through the whole stack, and a page that shows the results."""
