"""Images and labels: where they come from, and the verified arrays. No torch."""
