"""Views of the commands, by command."""
