"""A person: detection, pose, labels, and the masks."""
