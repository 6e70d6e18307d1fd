"""Check an implementation of an optimizer against a rule."""
